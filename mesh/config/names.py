"""Names that are free: what they may look like.

Checked apart from the schema, which would say nothing about what stands behind a name it refuses.
"""

from __future__ import annotations

import re

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_PROVIDER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_ACCOUNT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_TAG = re.compile(r"[A-Za-z0-9._/@+-]{1,64}(:[A-Za-z0-9._/@+-]{1,64})?")
_OURS = frozenset(
    {"connection", "content-length", "traceparent", "tracestate", "transfer-encoding", "x-client-request-id"}
)


def problem_of_provider(name: str) -> str | None:
    """What is wrong with a provider's name."""
    # A deployment is written provider/model everywhere, so what stands before the slash must not have one of its own.
    return None if _PROVIDER.fullmatch(name) else "must be a name of letters, digits, dots, hyphens and underscores"


def problem_of_model(name: str) -> str | None:
    """What is wrong with a model's name, or the beginning of many and a `*`."""
    if not name or name != name.strip() or not name.isprintable():
        return "must be a name without surrounding white space or control characters"
    return "may have a * at its end only" if "*" in name[:-1] else None


def problem_of_account(name: str) -> str | None:
    """What is wrong with the name of a key, tenant or project: it is shown, grouped by, and part of scopes."""
    if _ACCOUNT.fullmatch(name):
        return None
    return "must be a name of letters, digits, dots, hyphens and underscores, of at most 64 characters"


def problem_of_tag(tag: str) -> str | None:
    """What is wrong with a label for spend."""
    return None if _TAG.fullmatch(tag) else "must be a label such as nightly or team:search"


def problem_of_service_tier(name: str) -> str | None:
    """What is wrong with the name of a provider's service tier."""
    return None if _ACCOUNT.fullmatch(name) else "must be the name of a service tier, such as batch or priority"


def problem_of_header(name: str) -> str | None:
    """What is wrong with the name of a header to be sent."""
    if not _TOKEN.fullmatch(name):
        return "is not a header name"
    return "is a header that Tollway sets itself" if name.lower() in _OURS else None
