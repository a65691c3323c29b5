"""That a tool failed, told to those whose API has no place for it but the text, which the model reads."""

from __future__ import annotations

from services.providers.domain.json_objects import Json

TOOL_FAILED = "The tool failed: "
"""What a tool's answer begins with that is none."""


def failed(parts: list[Json], kind: str) -> list[Json]:
    """The parts of a tool's answer that say how it failed, said so. `kind` is what a part of text is called."""
    if parts and parts[0].get("type") == kind:
        return [{**parts[0], "text": TOOL_FAILED + parts[0]["text"]}, *parts[1:]]
    return [{"type": kind, "text": TOOL_FAILED.rstrip(": ") + "."}, *parts]
