"""Keeps secrets out of what is logged: by the name of a field, by the look of a text, and the known ones by value."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

MASK = "[redacted]"
SHORTEST_SECRET = 6
"""Known secrets with fewer characters are not looked for: they would be found inside ordinary words."""

_NAMES = re.compile(
    r"(?i)(^|[_.-])(authorization|api[_-]?key|x-api-key|password|passwd|secret|access[_-]?token|cookie|set-cookie)$"
)
_PHRASES = re.compile(
    r"(?i)(?P<kept>(?:bearer|basic)\s+|(?:api[_-]?key|authorization|password|secret|access[_-]?token)[\"']?\s*[=:]\s*[\"']?)"
    r"(?!bearer\b|basic\b)[^\s\"',;}\]]+"
)
_KEYS = re.compile(r"\b(?:sk|pk|rk|gsk|xai|key|csk|fw|nvapi|tw|AIza)[-_][A-Za-z0-9_-]{12,}|\bAIza[A-Za-z0-9_-]{20,}")
_USERINFO = re.compile(r"(?P<scheme>\b[a-z][a-z0-9+.-]*://)[^\s/@:]*:[^\s/@]*@")


def redactor(secrets: Iterable[str] = ()) -> Callable[[Any], Any]:
    """A function that returns a value without the secrets in it, mappings and lists included."""
    known = sorted({secret for secret in secrets if len(secret) >= SHORTEST_SECRET}, key=len, reverse=True)
    values = re.compile("|".join(map(re.escape, known))) if known else None

    def redact(value: Any) -> Any:
        if isinstance(value, str):
            return _text(value, values)
        if isinstance(value, dict):
            return {key: MASK if _is_secret_name(key) and item else redact(item) for key, item in value.items()}
        if isinstance(value, (list, tuple, set, frozenset)):
            return [redact(item) for item in value]
        if isinstance(value, bytes):
            return redact(value.decode("utf-8", "backslashreplace"))
        return value if isinstance(value, (int, float, type(None))) else _text(str(value), values)

    return redact


def _is_secret_name(name: object) -> bool:
    return isinstance(name, str) and _NAMES.search(name) is not None


def _text(text: str, values: re.Pattern[str] | None) -> str:
    if values is not None:
        text = values.sub(MASK, text)
    text = _PHRASES.sub(lambda match: match["kept"] + MASK, text)
    text = _USERINFO.sub(lambda match: match["scheme"] + MASK + "@", text)
    return _KEYS.sub(MASK, text)
