"""What is wrong with a configuration, all of it, each with its place."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

KeyPath = tuple[str | int, ...]
"""Keys and list indices from the top of the configuration downwards."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong.

    `path` is `models.gpt-4o.deployments[0].provider`, or empty for the file as a whole. `source` is the file or the
    variable that said so; `line` counts from 1, and is None for variables.
    """

    path: str
    line: int | None
    message: str
    source: str = ""

    def __str__(self) -> str:
        place = f"{self.source}:{self.line}" if self.line is not None else self.source
        if not self.path:
            return f"{place}: {self.message}"
        return f"{self.path} ({place}): {self.message}" if place else f"{self.path}: {self.message}"


class ConfigError(Exception):
    """The configuration cannot be used; `problems` are everything that is wrong with it."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = sorted(problems, key=lambda problem: (problem.line is None, problem.line or 0, problem.source))
        super().__init__("\n".join(describe(self.problems)))


def describe(problems: Sequence[Problem]) -> list[str]:
    """A line for each problem."""
    return [str(problem) for problem in problems]


def format_path(path: KeyPath) -> str:
    """`models."*".deployments[0].model`; names that would be misread are quoted."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            name = step if re.fullmatch(r"[\w/-]+", step) else '"' + step.replace('"', '\\"') + '"'
            text += f".{name}" if text else name
    return text
