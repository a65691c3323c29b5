"""Keeps secrets out of what is logged: by the name of a field, by the look of a text, and the known ones by value."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import quote

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


MOST_LEARNED = 256


class _Learned:
    """Secrets that this process came to know since it started, the oldest first, and how many there ever were."""

    def __init__(self) -> None:
        self.secrets: dict[str, None] = {}
        self.lessons = 0


_learned = _Learned()


def learn(secret: str) -> None:
    """Has every redactor of this process look for a secret that became known after it was made: a token, a new key.

    The latest are remembered.
    """
    if not secret or secret in _learned.secrets:
        return
    _learned.lessons += 1
    _learned.secrets[secret] = None
    while len(_learned.secrets) > MOST_LEARNED:
        del _learned.secrets[next(iter(_learned.secrets))]


def redactor(secrets: Iterable[str] = ()) -> Callable[[Any], Any]:
    """A function that returns a value without the secrets in it, mappings and lists included."""
    given = frozenset(secrets)
    seen, values = _learned.lessons, _any_of((*given, *list(_learned.secrets)))

    def redact(value: Any) -> Any:
        nonlocal seen, values
        if seen != _learned.lessons:
            seen, values = _learned.lessons, _any_of((*given, *list(_learned.secrets)))
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


def _any_of(secrets: Iterable[str]) -> re.Pattern[str] | None:
    """A pattern of the secrets, as they are and as they stand in a URL."""
    long = (secret for secret in secrets if len(secret) >= SHORTEST_SECRET)
    forms = {form for secret in long for form in (secret, quote(secret), quote(secret, safe=""))}
    known = sorted(forms, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, known))) if known else None


def _is_secret_name(name: object) -> bool:
    return isinstance(name, str) and _NAMES.search(name) is not None


def _text(text: str, values: re.Pattern[str] | None) -> str:
    if values is not None:
        text = values.sub(MASK, text)
    text = _PHRASES.sub(lambda match: match["kept"] + MASK, text)
    text = _USERINFO.sub(lambda match: match["scheme"] + MASK + "@", text)
    return _KEYS.sub(MASK, text)
