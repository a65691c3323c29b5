"""Asking the services that `--connect` leads to: over which channel, with which key, and saying what they said."""

from __future__ import annotations

import re
from pathlib import Path

import grpc

from mesh.config.addresses import check_target
from mesh.credentials import metadata_of
from mesh.errors import FieldViolation, Reason, TollwayError
from mesh.listening import CannotListen, channel_credentials
from tollway_cli.configuration import load_or_refuse
from tollway_cli.refusal import refuse

_TYPED_AS = {
    "attempt_id": "ATTEMPT_ID",
    "reason": "--reason",
    "filter.start_time": "--since",
    "filter.end_time": "--until",
    "budget.scope": "SCOPE",
    "budget.limit_nanos": "LIMIT",
    "budget.rolling": "--window",
    "budget.time_zone": "--time-zone",
    "budget.thresholds": "--thresholds",
    "price.provider_name": "PROVIDER",
    "price.model_name": "MODEL",
    "price.effective_time": "--from",
    "provider_names": "--name",
    "chunk": "the export:",
    "chat.model": "MODEL",
    "preferences.models": "MODEL",
    "preferences.session": "--session",
    "tags": "--tag",
}
"""What the fields of requests are to whoever types commands."""

Metadata = tuple[tuple[str, str], ...]


def channel(target: str, config: Path | None) -> grpc.aio.Channel:
    """A channel to the target, over TLS where the configuration has `grpc.tls`, as services reach each other."""
    try:
        check_target(target)
    except ValueError as error:
        refuse(f"--connect {error}, not {target!r}")
    tls = load_or_refuse(config).grpc.tls
    if tls is None or target.startswith("unix:"):
        return grpc.aio.insecure_channel(target)
    try:
        return grpc.aio.secure_channel(target, channel_credentials(tls))
    except CannotListen as error:
        refuse(str(error))


def metadata(key: str) -> Metadata:
    """What a call carries that shows the key; one that cannot be one ends the process."""
    key = key.strip()
    if not key.isascii() or not key.isprintable() or " " in key:
        refuse("--key (or TOLLWAY_KEY) is no key: it has white space in it, or more than ASCII")
    return metadata_of(key)


def sentence(error: TollwayError) -> str:
    """What went wrong, in the words of the command line, and how a key is shown where that is what went wrong."""
    if error.violations:
        return "; ".join(map(_typed, error.violations))
    hint = " Here, --key or TOLLWAY_KEY says which." if error.reason is Reason.UNAUTHENTICATED else ""
    return error.message + hint


def _typed(violation: FieldViolation) -> str:
    field = re.sub(r"\[\d+\]", "", violation.field)
    return f"{_TYPED_AS.get(field, violation.field)} {violation.description}"
