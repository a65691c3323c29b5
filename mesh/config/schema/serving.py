"""What the services themselves need: stores, addresses, what is kept and for how long."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from mesh.config.schema.section import Section
from mesh.config.values import (
    Address,
    Duration,
    HostName,
    HttpUrl,
    LedgerUrl,
    PositiveDuration,
    Quantity,
    Retention,
    Size,
    StateUrl,
)


class State(Section):
    """Where that is kept which replicas share: limits, and answers that may be asked for again."""

    url: StateUrl = Field("memory://", repr=False)
    when_lost: Literal["local", "deny"] = "local"
    timeout: PositiveDuration = Field(0.25, description="How long an operation may take before the state is lost.")


class Ledger(Section):
    """Where attempts are booked."""

    url: LedgerUrl = Field("sqlite:///{data_dir}/ledger.db", repr=False)
    when_lost: Literal["deny", "allow"] = Field("allow", description="For what hard budgets bear.")
    budget_wait: Duration = Field(2.0, description="How long a request waits for what others have reserved.")
    retention: Retention | None = Field(
        None, description="How long details are kept before they are rolled into daily totals. Absent: for ever."
    )
    catalogue: bool = Field(True, description="Whether models without a price of one's own have the catalogue's.")


class Journal(Section):
    """The router's own record of calls, until the ledger has them."""

    fsync: Duration = Field(1.0, description="What a power loss can take at most. 0s: every write waits for the disk.")
    ship_every: PositiveDuration = 1.0
    when_full: Literal["deny", "allow"] = Field(
        "deny", description="Whether calls leave that cannot be written down, and are in memory alone until they can."
    )


class Idempotency(Section):
    """What is kept of answers to requests that have an idempotency key."""

    keep: PositiveDuration = 86_400.0
    max_answer: Size = Field(4 * 2**20, description="A larger answer is not kept.")
    max_bytes: Size = Field(256 * 2**20, description="What one router keeps.")

    @model_validator(mode="after")
    def _fit(self) -> Self:
        if self.max_answer > self.max_bytes:
            raise ValueError("max_answer must be at most max_bytes: such an answer would never be kept")
        return self


class Cache(Section):
    """The response cache."""

    ttl: PositiveDuration = Field(600.0, description="Where only the request asks for an answer to be kept.")
    max_entry: Size = Field(2**20, description="A larger answer is not kept.")
    max_bytes: Size = Field(64 * 2**20, description="What one router keeps.")

    @model_validator(mode="after")
    def _fit(self) -> Self:
        if self.max_entry > self.max_bytes:
            raise ValueError("max_entry must be at most max_bytes: such an answer would never be kept")
        return self


class Telemetry(Section):
    """What is told to whom. The standard OTEL_* variables hold where a key is not set."""

    otlp_endpoint: HttpUrl = Field(
        "", repr=False, description="Empty: as OTEL_EXPORTER_OTLP_ENDPOINT says, else nothing is exported."
    )
    sample: float = Field(1.0, ge=0, le=1)
    content: bool = Field(False, description="Whether prompts and answers are recorded in spans.")
    log_level: Literal["debug", "info", "warning", "error"] = "info"


class Http(Section):
    """The HTTP edge."""

    listen: Address = "127.0.0.1:8080"
    hosts: tuple[HostName, ...] = Field((), description="Names it is reached by, beside those of this machine.")
    max_body: Size = Field(32 * 2**20, le=2**30)
    max_messages: Quantity = 2048
    body_timeout: PositiveDuration = Field(
        30.0, description="For a request's headers, and again for its body, to arrive."
    )
    drain: Duration = Field(30.0, description="For running requests to end at shutdown.")


class Tls(Section):
    """Files of a PEM certificate chain, its key and, for mutual TLS, the authority clients must be signed by."""

    cert: str
    key: str
    client_ca: str = ""


class Grpc(Section):
    """The gRPC servers."""

    listen: Address = "127.0.0.1:50051"
    tls: Tls | None = None
