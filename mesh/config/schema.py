"""The shape of `tollway.yaml`: every key, its type and its default.

Values are written in the notations of `mesh.config.values` (`Timeouts(gap="50ms")` in code, too) and read as plain
numbers. A field that `repr` does not show may hold a secret, and no message repeats its value.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    SecretStr,
    Tag,
    model_validator,
)

from mesh.config.values import (
    Address,
    Duration,
    HeaderValue,
    HttpUrl,
    LedgerUrl,
    LimitRate,
    NanoUsd,
    PositiveDuration,
    Scope,
    Size,
    StateUrl,
)


class Section(BaseModel):
    """A mapping in the file: no unknown keys, and frozen once loaded."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _leave_out_what_is_empty(cls, value: Any) -> Any:
        """A key with nothing behind it (`openai:`) stands for its default, and so does a whole section."""
        if value is None:
            return {}
        return {key: item for key, item in value.items() if item is not None} if isinstance(value, dict) else value


class Drain(Section):
    """Reads on for a while after the client left, where a provider bills anyway."""

    drain: PositiveDuration


def _check_cancel(value: Any) -> Any:
    if value != "cancel":
        raise ValueError("must be cancel, or a mapping such as {drain: 30s}")
    return value


OnDisconnect = Annotated[
    Annotated[Literal["cancel"], BeforeValidator(_check_cancel), Tag("~cancel")] | Annotated[Drain, Tag("~drain")],
    Discriminator(lambda value: "~drain" if isinstance(value, (dict, Drain)) else "~cancel"),
]
"""`cancel`, or `{drain: 30s}`."""

UNION_TAGS = frozenset({"~cancel", "~drain"})
"""Steps in the location of a pydantic error that are no keys."""


def _check_key(key: SecretStr) -> SecretStr:
    plain = key.get_secret_value().strip()  # files and secret stores like to end them with a line break
    if not plain.isascii() or any(character.isspace() or not character.isprintable() for character in plain):
        raise ValueError("must be a key: printable ASCII without white space")
    return SecretStr(plain)


class SimOptions(Section):
    """How the built-in model behaves where the model's name does not say otherwise."""

    ttft: Duration = 0.0
    rate: float = Field(0.0, ge=0, description="Tokens per second; 0: as fast as can be.")
    tokens: int = Field(20, ge=0, description="Length of a generated answer.")


class Provider(Section):
    """Someone who can be called."""

    dialect: Literal["openai", "sim"] = "openai"
    base_url: HttpUrl = Field("", repr=False, description="Empty: the dialect's own address.")
    api_key: Annotated[SecretStr, AfterValidator(_check_key)] = Field(SecretStr(""), repr=False)
    headers: dict[str, HeaderValue] = Field(default_factory=dict, repr=False, description="Sent with every call.")
    on_disconnect: OnDisconnect = "cancel"
    sim: SimOptions = SimOptions()


class Timeouts(Section):
    """How long to wait for what."""

    connect: PositiveDuration = 3.0
    headers: PositiveDuration = 30.0
    first_token: PositiveDuration = 30.0
    gap: PositiveDuration = 30.0
    total: PositiveDuration = 600.0


Capability = Literal["tools", "vision", "prefill", "json_schema", "audio", "files", "reasoning"]


class Deployment(Section):
    """A provider's model that can answer for a name."""

    provider: str
    model: str = Field("", description="The provider's own name for it. Empty: what `mesh.config.patterns` says.")
    weight: int = Field(1, ge=1)
    can: tuple[Capability, ...] | None = Field(None, description="Absent: everything but prefill.")
    context: int | None = Field(None, ge=1, description="Tokens. Absent: not known.")
    retries: int | None = Field(None, ge=0)
    timeouts: Timeouts | None = None


def _check_not_empty(entries: tuple[Any, ...]) -> tuple[Any, ...]:
    if not entries:  # pydantic's own check counts what is valid, and complains a second time about a bad entry
        raise ValueError("must have at least one entry")
    return entries


class Model(Section):
    """What stands behind a name that clients use, or behind many (`mesh.config.patterns`)."""

    strategy: Literal["ordered"] = "ordered"
    deployments: Annotated[tuple[Deployment, ...], AfterValidator(_check_not_empty)]
    fallbacks: tuple[str, ...] = ()
    description: str = ""
    retries: int | None = Field(None, ge=0)
    timeouts: Timeouts | None = None


class Defaults(Section):
    """What holds where a model or deployment says nothing of its own."""

    retries: int = Field(3, ge=0)
    retry_after_wait: Duration = 5.0
    timeouts: Timeouts = Timeouts()


class PriceEntry(Section):
    """A price of one's own. Amounts are per 1M tokens."""

    provider: str
    model: str = "*"
    input: NanoUsd
    output: NanoUsd
    cached_input: NanoUsd | None = None
    cache_write: NanoUsd | None = None
    cache_write_1h: NanoUsd | None = None
    reasoning: NanoUsd | None = None
    context: int = Field(0, ge=0, description="The model's context window in tokens. 0: not known.")


class Limit(Section):
    """What may be asked for within a time."""

    scope: Scope
    requests: LimitRate | None = None
    tokens: LimitRate | None = Field(None, description="Of prompts and answers together.")
    concurrency: int | None = Field(None, ge=1, description="Requests under way.")

    @model_validator(mode="after")
    def _limit_something(self) -> Self:
        if self.requests is None and self.tokens is None and self.concurrency is None:
            raise ValueError("must limit something: requests, tokens or concurrency")
        return self


class State(Section):
    """Where that is kept which replicas share: limits, and answers that may be asked for again."""

    url: StateUrl = Field("memory://", repr=False)
    when_lost: Literal["local", "deny"] = "local"
    timeout: PositiveDuration = Field(0.25, description="How long an operation may take before the state is lost.")


class Ledger(Section):
    """Where attempts are booked."""

    url: LedgerUrl = Field("sqlite:///{data_dir}/ledger.db", repr=False)


class Journal(Section):
    """The router's own record of calls, until the ledger has them."""

    fsync: Duration = Field(1.0, description="What a power loss can take at most. 0s: every write waits for the disk.")
    ship_every: PositiveDuration = 0.2


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
    max_body: Size = 32 * 2**20
    max_messages: int = Field(2048, ge=1)
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


class Config(Section):
    """The whole file. Nothing is required."""

    providers: dict[str, Provider] = Field(default_factory=dict)
    models: dict[str, Model] = Field(default_factory=dict)
    defaults: Defaults = Defaults()
    prices: tuple[PriceEntry, ...] = ()
    limits: tuple[Limit, ...] = ()
    ledger: Ledger = Ledger()
    journal: Journal = Journal()
    state: State = State()
    telemetry: Telemetry = Telemetry()
    http: Http = Http()
    grpc: Grpc = Grpc()
