"""Which of a provider's names are of one model, where one side tells its snapshots apart and the other does not."""

from __future__ import annotations

import re
from functools import lru_cache

# `-2024-08-06` and `-0613` as OpenAI dates snapshots, `-20250929` as Anthropic does, `@20250929` as Google Cloud does.
_snapshot = re.compile(r"[-@](?:\d{4}-\d{2}-\d{2}|\d{8}|\d{4}|latest)$")
_between = re.compile(r"[\s._]+")


def undated(name: str) -> str:
    """The name without the date of a snapshot: `gpt-4o` for `gpt-4o-2024-08-06`. A fine-tuned model keeps its own."""
    return name if name.startswith("ft:") else _snapshot.sub("", name)


@lru_cache(maxsize=4096)
def family(name: str) -> str:
    """What all names of a model have in common, for comparing.

    Anthropic writes a version before or behind the size, and has names for people beside: `claude-3-7-sonnet-20250219`,
    `claude-sonnet-4-5` and `Claude Sonnet 4.5`.
    """
    if name.startswith("ft:"):
        return name
    plain = undated(_between.sub("-", name.strip().lower()))
    if not plain.startswith("claude-"):
        return plain
    words = plain.split("-")
    numbers = [word for word in words if word.isdigit()]
    return "-".join([word for word in words if not word.isdigit()] + numbers)
