"""`TOLLWAY_` variables: any key of the file, from the environment.

`TOLLWAY_HTTP__LISTEN` is `http.listen`: two underscores between levels, capital letters or not. Where names are free, a
variable means the one in the file that reads the same with underscores for everything but letters and digits
(`GPT_4O` is `gpt-4o`), else a new name in small letters. The value is YAML where a mapping or a list is wanted, else
plain text. An empty variable counts as not set.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from mesh.config.document import Document, Origin, parse_variable
from mesh.config.outline import PREFIX, is_list, is_structured
from mesh.config.problems import KeyPath, Problem

RESERVED = frozenset({"TOLLWAY_CONFIG", "TOLLWAY_DATA_DIR", "TOLLWAY_KEY"})
"""Read by the command line, and no keys."""

# Kubernetes sets variables like these in every pod beside a Service called tollway, or tollway-something.
_SERVICE_LINK = re.compile(
    r"TOLLWAY(_[A-Z0-9]+)*_(SERVICE_(HOST|PORT(_[A-Z0-9_]+)?)|PORT_\d+_(TCP|UDP|SCTP)(_[A-Z]+)?)"
)
_SERVICE_LINK_URL = re.compile(r"(tcp|udp|sctp)://")


def apply_variables(document: Document, environ: Mapping[str, str]) -> None:
    """Puts every variable's value in its place, whole sections before the keys inside them."""
    names = [name for name in environ if environ[name] and _is_key(name.upper(), environ[name])]
    for name in sorted(names, key=_order):
        steps = _steps(name)
        if "" in steps:
            document.problems.append(Problem("", None, "names no key: two underscores stand between keys", name))
        else:
            _place(document, steps, name, environ[name])


def _steps(name: str) -> list[str]:
    return name[len(PREFIX) :].split("__")


def _order(name: str) -> list[tuple[int, str]]:
    """What is around a key before it, and the entries of a list by their numbers: each goes on from the one before."""
    return [(len(step) if step.isdecimal() else 0, step.lower()) for step in _steps(name)]


def _is_key(name: str, value: str) -> bool:
    if not name.startswith(PREFIX) or name in RESERVED:
        return False
    return not (_SERVICE_LINK.fullmatch(name) or (name.endswith("_PORT") and _SERVICE_LINK_URL.match(value)))


def _place(document: Document, steps: list[str], name: str, text: str) -> None:
    if document.data is None:
        document.data = {}
    around = document.data
    path: KeyPath = ()
    for step in steps[:-1]:
        key = _key(document, around, step, name, path)
        if key is None:
            return
        path = (*path, key)
        if not isinstance(_get(around, key), (dict, list)):
            _set(around, key, [] if is_list(path) else {})
            document.put(path, Document(origins={path: Origin(name, None)}))
        around = around[key]
    key = _key(document, around, steps[-1], name, path)
    if key is not None:
        value = parse_variable(text, name, (*path, key), structured=is_structured((*path, key)))
        document.put((*path, key), value)
        _set(around, key, value.data)


def _key(document: Document, around: Any, step: str, name: str, path: KeyPath) -> Any:
    """The key or index that a step of the variable's name means; None, and a problem, where there is none."""
    if isinstance(around, list):
        if step.isdecimal() and int(step) <= len(around):
            return int(step)
        wanted = f"a number up to {len(around)}" if around else "0, for its first"
        return _refuse(document, name, f"must say which of the list it means: {wanted}")
    same = [key for key in around if _fold(key) == _fold(step)]
    if len(same) > 1:
        return _refuse(document, name, f"could mean any of {', '.join(same)}")
    return same[0] if same else step.lower()


def _refuse(document: Document, name: str, message: str) -> None:
    document.problems.append(Problem("", None, message, name))


def _fold(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "_", name.lower())


def _get(around: Any, key: Any) -> Any:
    return around.get(key) if isinstance(around, dict) else around[key] if key < len(around) else None


def _set(around: Any, key: Any, value: Any) -> None:
    if isinstance(around, list) and key == len(around):
        around.append(value)
    else:
        around[key] = value
