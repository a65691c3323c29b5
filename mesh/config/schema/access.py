"""Who may ask, how often, and for how much."""

from __future__ import annotations

import hashlib
import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from mesh.config.schema.models import CacheOptIn
from mesh.config.schema.providers import check_key
from mesh.config.schema.section import Section, check_not_empty
from mesh.config.values import BudgetWindow, LimitRate, Moment, PositiveNanoUsd, Quantity, Scope, Thresholds, Zone

SHORTEST_KEY = 16
LONGEST_KEY = 512
MOST_TAGS = 16


def _check_callers_key(key: SecretStr) -> SecretStr:
    plain = check_key(key).get_secret_value()
    if not plain:
        raise ValueError("is empty: set it, or the variable that it comes from")
    if not SHORTEST_KEY <= len(plain) <= LONGEST_KEY:
        raise ValueError(f"must be a key of {SHORTEST_KEY} to {LONGEST_KEY} characters: `tollway keys new` makes one")
    return SecretStr(plain)


def _check_digest(digest: str) -> str:
    if not re.fullmatch(r"[0-9a-fA-F]{64}", digest):
        raise ValueError("must be the SHA-256 of a key, in 64 hexadecimal digits")
    return digest.lower()


def _check_tags(tags: tuple[str, ...]) -> tuple[str, ...]:
    if len(tags) > MOST_TAGS:
        raise ValueError(f"must be at most {MOST_TAGS} labels")
    return tags


class Key(Section):
    """Someone who may ask. Exactly one of `key` and `key_sha256` is given."""

    name: str
    key: Annotated[SecretStr, AfterValidator(_check_callers_key)] | None = Field(None, repr=False)
    key_sha256: Annotated[str, AfterValidator(_check_digest)] | None = Field(
        None, repr=False, description="The SHA-256 of the key, in hexadecimal digits: a file with it holds no secret."
    )
    tenant: str = "default"
    project: str = "default"
    tags: Annotated[tuple[str, ...], AfterValidator(_check_tags)] = ()
    models: Annotated[tuple[str, ...], AfterValidator(check_not_empty)] = ("*",)
    role: Literal["caller", "operator", "admin"] = "caller"
    cache: CacheOptIn | None = Field(None, description="Absent: only what a model or a request asks to be kept is.")
    expires: Moment | None = None

    @property
    def digest(self) -> bytes:
        """The SHA-256 of the key, by which it is known from here on."""
        if self.key is not None:
            return hashlib.sha256(self.key.get_secret_value().encode()).digest()
        return bytes.fromhex(self.key_sha256 or "")


class Limit(Section):
    """What may be asked for within a time."""

    scope: Scope
    requests: LimitRate | None = None
    tokens: LimitRate | None = Field(None, description="Of prompts and answers together.")
    concurrency: Quantity | None = Field(None, description="Requests under way.")

    @model_validator(mode="after")
    def _limit_something(self) -> Self:
        if self.requests is None and self.tokens is None and self.concurrency is None:
            raise ValueError("must limit something: requests, tokens or concurrency")
        return self


class BudgetEntry(Section):
    """What may be spent within a time."""

    scope: Scope
    limit: PositiveNanoUsd
    window: BudgetWindow = "month"
    time_zone: Zone = Field("UTC", description="Where days, weeks and months begin.")
    soft: bool = Field(False, description="Whether to report only, and never to refuse.")
    thresholds: Thresholds = Field((50, 80, 100), description="Per cent of the limit that are told when reached.")

    @model_validator(mode="after")
    def _check_zone(self) -> Self:
        if "time_zone" in self.model_fields_set and self.window not in ("day", "week", "month"):
            raise ValueError("has a time_zone, in which only days, weeks and months begin")
        return self
