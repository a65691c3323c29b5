"""How the world outside is spoken to: dialects, transports and credentials, each apart from the others.

A new dialect is one module here with the face of `ports.Dialect` (`openai` is the example; a folder once it outgrows a
screenful), and a folder of fixtures under `tests/providers/fixtures/`. Nothing else names it; see
docs/adding-a-provider.md.
"""

from __future__ import annotations

from pathlib import Path

_MARK = "encode_request"
"""What a module of a dialect has, and no other."""


def dialect_names() -> tuple[str, ...]:
    """The dialects there are, by name: every module here that can encode a request. None of them is imported."""
    places = {path.stem if path.suffix else path.name: path for folder in __path__ for path in Path(folder).iterdir()}
    return tuple(sorted(name for name, path in places.items() if _speaks(path)))


def _speaks(path: Path) -> bool:
    source = path if path.suffix == ".py" else path / "__init__.py"
    return source.is_file() and path.name != "__init__.py" and _MARK in source.read_text("utf-8")
