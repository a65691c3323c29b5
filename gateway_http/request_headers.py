"""What a request's headers say: who calls, under which name, in which trace, with which labels, for how long, and
whether it has been answered before."""

from __future__ import annotations

import re

from multidict import CIMultiDictProxy

from mesh.config.values import parse_duration
from mesh.errors import invalid
from mesh.ids import new_request_id
from mesh.tracing import TraceContext, parse_traceparent
from tollway.router.v1.router_pb2 import CacheMode, Preferences

Headers = CIMultiDictProxy[str]
Metadata = tuple[tuple[str, str], ...]

# gRPC bounds all metadata of a call to 8 KiB, and what goes beyond fails the call.
_LONGEST_CREDENTIALS = 4096
_LONGEST_TRACESTATE = 512
_MOST_TAGS = 16
_LONGEST_TIMEOUT = 86_400.0
_LONGEST_SESSION = 128
_YES_OR_NO = {"1": True, "true": True, "0": False, "false": False}

_CREDENTIALS = (("authorization", ""), ("x-api-key", "Bearer "), ("api-key", "Bearer "))
"""Where clients put their key (OpenAI's, Anthropic's, Azure's), and what makes `authorization` of it."""
_LONGEST_KEY = 255
_CACHE_MODES = {
    "use": CacheMode.CACHE_MODE_USE,
    "bypass": CacheMode.CACHE_MODE_BYPASS,
    "refresh": CacheMode.CACHE_MODE_REFRESH,
}

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
_TAG = re.compile(r"[A-Za-z0-9._/@+-]{1,64}(:[A-Za-z0-9._/@+-]{1,64})?")


def request_id(headers: Headers, now: float) -> str:
    """The caller's id for the request; one of ours where there is none, or none that could stand in a log."""
    given = headers.get("x-request-id")
    if given is not None and _REQUEST_ID.fullmatch(given):
        return given
    return new_request_id(now)


def trace_parent(headers: Headers) -> TraceContext | None:
    """The caller's place in its trace; None where it names none."""
    parent = headers.get("traceparent")
    if parent is None:
        return None
    state = ",".join(headers.getall("tracestate", ()))
    return parse_traceparent(parent, state if len(state) <= _LONGEST_TRACESTATE and _travels(state) else None)


def call_metadata(headers: Headers, place: TraceContext) -> Metadata:
    """What a call to the router carries beside its message. Raises INVALID_REQUEST for a key that cannot travel."""
    metadata: Metadata = (("traceparent", place.traceparent),)
    if place.state:
        metadata += (("tracestate", place.state),)
    shown = _credentials(headers)
    if shown:
        metadata += (("authorization", shown),)
    return metadata


def _credentials(headers: Headers) -> str:
    """What the caller shows for itself, as `authorization` has it. Whether that is any good is for the router to say.

    Of a caller that shows several things it is all of them, joined as HTTP joins a header that came twice: which of
    them counts is nothing to be guessed, here or by anyone on the way.
    """
    shown: list[str] = []
    for name, before in _CREDENTIALS:
        if name not in headers:
            continue
        for value in headers.getall(name):
            if len(value) > _LONGEST_CREDENTIALS or not _travels(value):
                raise invalid(name, f"must be at most {_LONGEST_CREDENTIALS} printable ASCII characters")
            if value and before + value not in shown:
                shown.append(before + value)
    credentials = ", ".join(shown)
    if len(credentials) > _LONGEST_CREDENTIALS + len("Bearer "):
        raise invalid("authorization", "must be one key, and there are several")
    return credentials


def tags(headers: Headers) -> list[str]:
    """The labels in `x-tollway-tags`, comma-separated, each `name` or `name:value`. Raises INVALID_REQUEST."""
    given = headers.get("x-tollway-tags")
    if given is None:
        return []
    labels = [label.strip() for label in given.split(",")]
    if len(labels) > _MOST_TAGS:
        raise invalid("x-tollway-tags", f"must be at most {_MOST_TAGS} labels")
    if not all(_TAG.fullmatch(label) for label in labels):
        raise invalid("x-tollway-tags", "must be labels such as nightly,team:search")
    return labels


def session(headers: Headers) -> str:
    """What keeps questions to one deployment, from `x-tollway-session`; empty: nothing. Raises INVALID_REQUEST."""
    given = headers.get("x-tollway-session", "")
    if len(given) > _LONGEST_SESSION or not _travels(given):
        raise invalid("x-tollway-session", f"must be at most {_LONGEST_SESSION} printable ASCII characters")
    return given


def wants_explanation(headers: Headers) -> bool:
    """Whether `x-tollway-explain` asks where the question would go, and for no answer. Raises INVALID_REQUEST."""
    given = headers.get("x-tollway-explain")
    if given is None:
        return False
    if given.lower() not in _YES_OR_NO:
        raise invalid("x-tollway-explain", "must be 1 or 0")
    return _YES_OR_NO[given.lower()]


def timeout(headers: Headers) -> float | None:
    """Seconds until the caller wants an error rather than an answer, from `x-tollway-timeout`; None: as configured.

    The timeouts that SDKs announce are not deadlines: they bound the silence between two reads. A client whose own
    timeout strikes leaves, and is cancelled.
    """
    given = headers.get("x-tollway-timeout")
    if given is None:
        return None
    try:
        seconds = parse_duration(given)
    except ValueError as error:
        raise invalid("x-tollway-timeout", str(error)) from None
    if not 0 < seconds <= _LONGEST_TIMEOUT:
        raise invalid("x-tollway-timeout", "must be more than nothing, and at most 24h")
    return seconds


def assured(headers: Headers) -> bool | None:
    """Whether the caller wants a streamed answer held back until it is whole, from `x-tollway-assured`.

    None: as configured. Raises INVALID_REQUEST.
    """
    given = headers.get("x-tollway-assured")
    if given is None:
        return None
    if given not in _YES_OR_NO:
        raise invalid("x-tollway-assured", "must be 1 or 0")
    return _YES_OR_NO[given]


def drops_unsupported(headers: Headers) -> bool:
    """Whether `x-tollway-drop-unsupported` has what a provider cannot be told left out. Raises INVALID_REQUEST."""
    given = headers.get("x-tollway-drop-unsupported")
    if given is None:
        return False
    if given.lower() not in _YES_OR_NO:
        raise invalid("x-tollway-drop-unsupported", "must be 1 or 0")
    return _YES_OR_NO[given.lower()]


def note_repetition(headers: Headers, preferences: Preferences) -> None:
    """Notes the key of a request that may be sent again, and what the response cache may do. Raises INVALID_REQUEST."""
    key = headers.get("idempotency-key")
    if key is not None:
        if not 0 < len(key) <= _LONGEST_KEY or not _travels(key):
            raise invalid("idempotency-key", f"must be 1 to {_LONGEST_KEY} printable ASCII characters")
        preferences.idempotency_key = key
    mode = headers.get("x-tollway-cache")
    if mode is not None:
        if mode not in _CACHE_MODES:
            raise invalid("x-tollway-cache", f"must be one of {', '.join(_CACHE_MODES)}")
        preferences.cache = _CACHE_MODES[mode]


def _travels(text: str) -> bool:
    return text.isascii() and text.isprintable()
