"""What was written: YAML as text and places, before the schema says what it means.

Scalars stay text as they were written, so that no number is rounded and no `on` turns into true: the schema alone says
what a value is. A plain `null` is None. `${NAME}` and `${NAME:-default}` are replaced in values, and `$${` stands for
`${` itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import yaml

from mesh.config.problems import KeyPath, Problem, format_path

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG = "tag:yaml.org,2002:"
_SCALARS = frozenset(_TAG + name for name in ("str", "int", "float", "bool", "null", "timestamp", "value", "merge"))
_REFERENCE = re.compile(r"\$(?P<escaped>\$\{)|\$\{(?:(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}|)")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value was written, and a scalar as it was written there (references not replaced)."""

    source: str
    line: int | None
    written: str | None = None


@dataclass
class Document:
    """Mappings, lists, text and None; where each of them came from; and what was wrong already."""

    data: Any = None
    origins: dict[KeyPath, Origin] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    blamed: set[KeyPath] = field(default_factory=set)

    def origin(self, path: KeyPath) -> Origin:
        """Where the value at the path came from, or else the nearest value around it."""
        while path and path not in self.origins:
            path = path[:-1]
        return self.origins.get(path, Origin("", None))

    def blame(self, path: KeyPath, message: str) -> None:
        """Notes what is wrong with the value at the path."""
        origin = self.origin(path)
        self.blamed.add(path)
        self.problems.append(Problem(format_path(path), origin.line, message, origin.source))

    def put(self, path: KeyPath, other: Document) -> None:
        """Takes over what the other document knows; its value is for the caller to place."""
        self.origins = {known: origin for known, origin in self.origins.items() if known[: len(path)] != path}
        self.origins |= other.origins
        self.problems += other.problems
        self.blamed |= other.blamed


def parse_yaml(text: str, source: str, environ: Mapping[str, str]) -> Document:
    """The document of a file named `source`. Bad YAML ends up in its problems."""
    return _parse(text, _Reader(source, environ, numbered=True), ())


def parse_variable(text: str, name: str, path: KeyPath, *, structured: bool) -> Document:
    """The value of a variable, to be put at the path: YAML where a mapping or list is wanted, else the text as it is.

    Nothing in it is replaced: whoever set the variable could.
    """
    if structured:
        return _parse(text, _Reader(name, None, numbered=False), path)
    return Document(text, {path: Origin(name, None, text)})


def _parse(text: str, reader: _Reader, path: KeyPath) -> Document:
    try:
        node = yaml.compose(text, Loader=_LOADER)
        if node is not None:
            reader.document.data = reader.read(node, path, ())
    except yaml.YAMLError as error:
        return Document(problems=[reader.syntax_problem(error, path)], blamed={path})
    except RecursionError:
        return Document(problems=[Problem(format_path(path), None, "nests too deep", reader.source)], blamed={path})
    return reader.document


class _Reader:
    """Turns nodes into values. With `environ` None, references are left alone."""

    def __init__(self, source: str, environ: Mapping[str, str] | None, *, numbered: bool) -> None:
        self.document = Document()
        self.source, self._environ, self._numbered = source, environ, numbered

    def syntax_problem(self, error: yaml.YAMLError, path: KeyPath) -> Problem:
        # The error's own text would quote the line, secrets and all; its `problem` is a fixed phrase.
        mark = getattr(error, "problem_mark", None) if self._numbered else None
        reason = getattr(error, "problem", None) or getattr(error, "reason", None) or "cannot be read"
        if "alphabetic or numeric" in reason:  # what a bare `*:` is taken for is an alias
            reason += '; a name that begins with * or & must be quoted: "*"'
        return Problem(format_path(path), mark.line + 1 if mark else None, f"not valid YAML: {reason}", self.source)

    def read(self, node: Any, path: KeyPath, inside: tuple[int, ...]) -> Any:
        """The node's value. `inside` are the ids of the nodes around it."""
        scalar = isinstance(node, yaml.ScalarNode)
        line = node.start_mark.line + 1 if self._numbered else None
        self.document.origins[path] = Origin(self.source, line, node.value if scalar else None)
        if id(node) in inside:
            self.document.blame(path, "must not contain itself")
            return None
        inside = (*inside, id(node))
        if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
            return self._mapping(node, path, inside)
        if isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
            return [self.read(item, (*path, index), inside) for index, item in enumerate(node.value)]
        if scalar and node.tag in _SCALARS:
            return None if node.tag == _TAG + "null" else self._replace(node.value, path)
        self.document.blame(path, f"has a YAML tag ({node.tag.replace(_TAG, '!!')}), which nothing here understands")
        return None

    def _mapping(self, node: Any, path: KeyPath, inside: tuple[int, ...]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for value in [value for key, value in node.value if key.tag == _TAG + "merge"]:
            found |= self._merged(value, path, inside)
        lines: dict[str, int] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self.document.blame(path, "must have text as its keys")
            elif key.tag != _TAG + "merge":
                here, line = (*path, key.value), key.start_mark.line + 1
                found[key.value] = self.read(value, here, inside)
                self._place_at_key(here, line)
                if key.value in lines:
                    first = f"; first on line {lines[key.value]}" if self._numbered else ""
                    self.document.blame(here, f"is given twice{first}")
                lines.setdefault(key.value, line)
        return found

    def _place_at_key(self, path: KeyPath, line: int) -> None:
        # A key and the mapping behind it are on different lines, and it is the key that people look for.
        if self._numbered:
            self.document.origins[path] = replace(self.document.origins[path], line=line)

    def _merged(self, node: Any, path: KeyPath, inside: tuple[int, ...]) -> dict[str, Any]:
        """What `<<: *anchor`, or a list of them, brings in; the first of a list wins."""
        parts = node.value if isinstance(node, yaml.SequenceNode) else [node]
        result: dict[str, Any] = {}
        for part in parts:
            value = self.read(part, path, inside) if isinstance(part, yaml.MappingNode) else None
            if isinstance(value, dict):
                result = value | result
            else:
                self.document.blame(path, "can merge (<<) mappings only")
        return result

    def _replace(self, text: str, path: KeyPath) -> str:
        environ = self._environ
        if environ is None or "$" not in text:
            return text

        def value(match: re.Match[str]) -> str:
            if match["escaped"]:
                return "${"
            name, default = match["name"], match["default"]
            if name is None:
                self.document.blame(path, "has a ${ that begins neither ${NAME} nor ${NAME:-default}; write $${ for ${")
                return ""
            if default is not None:
                return environ.get(name) or default
            if name not in environ:
                self.document.blame(path, f"the environment variable {name} is not set, and ${{{name}}} has no default")
                return ""
            return environ[name]

        return _REFERENCE.sub(value, text)
