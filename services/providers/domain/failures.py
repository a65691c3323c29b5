"""What can become of a call, in the error table's words, where the provider itself did not say."""

from __future__ import annotations

from mesh.config.values import format_duration
from mesh.errors import Reason, TollwayError

_AWAITED = {"headers": "headers", "first_token": "content", "gap": "further event"}


def silent(phase: str, limit: float) -> TollwayError:
    """Nothing came in time. `phase` says what was awaited: headers, first_token, or gap."""
    return TollwayError(
        Reason.UPSTREAM_SILENT,
        f"the provider sent no {_AWAITED[phase]} within {format_duration(limit)}",
        {"phase": phase},
    )


def cut(detail: str = "the provider's answer broke off before it was finished") -> TollwayError:
    return TollwayError(Reason.UPSTREAM_CUT, detail)


def malformed(detail: str) -> TollwayError:
    """`detail` says what is wrong, and quotes nothing: it may be somebody's answer."""
    return TollwayError(Reason.UPSTREAM_MALFORMED, detail)


def unreachable(detail: str, phase: str = "headers") -> TollwayError:
    """No answer began. `phase` is connect where no connection stood."""
    return TollwayError(Reason.UPSTREAM_UNREACHABLE, detail, {"phase": phase})
