"""The shape of `tollway.yaml`: every key, its type and its default.

Values are written in the notations of `mesh.config.values` (`Timeouts(gap="50ms")` in code, too) and read as plain
numbers. A field that `repr` does not show may hold a secret, and no message repeats its value.
"""

from __future__ import annotations

import hashlib
import re
import shlex
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PlainSerializer,
    SecretStr,
    Tag,
    model_validator,
)

from mesh.config.values import (
    Address,
    BudgetWindow,
    Days,
    Duration,
    HeaderValue,
    HostName,
    HttpUrl,
    LedgerUrl,
    LimitRate,
    MarkupPpm,
    Moment,
    MultiplierPpm,
    NanoUsd,
    PositiveDuration,
    PositiveNanoUsd,
    Retention,
    Scope,
    Share,
    Size,
    StateUrl,
    Thresholds,
    TimeOfDay,
    Zone,
    format_duration,
    parse_duration,
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


def _check_word(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]*", text):
        raise ValueError("must be a name of letters, digits, hyphens and underscores")
    return text


Word = Annotated[str, AfterValidator(_check_word)]
ApiKey = Annotated[SecretStr, AfterValidator(_check_key)]


class Credentials(Section):
    """How a call shows who pays. Which keys go together is checked by `mesh.config.callees`."""

    kind: Literal["", "bearer", "header", "query", "aws", "google", "entra"] = Field(
        "", description="Empty: as the preset or the dialect says."
    )
    name: Word = Field("", description="Of the header, or of the parameter in the URL.")
    region: Word = ""
    profile: str = Field("", description="In AWS's files. Empty: as AWS's own variables say.")
    access_key_id: ApiKey = Field(SecretStr(""), repr=False)
    secret_access_key: ApiKey = Field(SecretStr(""), repr=False)
    session_token: ApiKey = Field(SecretStr(""), repr=False)
    credentials_file: str = Field("", description="Empty: Google's application default credentials.")
    project: str = ""
    location: Word = ""
    tenant: str = ""
    client_id: str = Field("", description="Empty: whoever the machine or the signed-in user is.")
    client_secret: ApiKey = Field(SecretStr(""), repr=False)
    scope: str = Field("", description="Of Entra's token. Empty: that of Azure OpenAI.")


def _split_command(value: Any) -> Any:
    try:
        return shlex.split(value) if isinstance(value, str) else value
    except ValueError:  # a quote that does not close
        raise ValueError("must be a program and its arguments, with quotes that close") from None


class Provider(Section):
    """Someone who can be called."""

    preset: str = Field("", description="Whose values hold where none is given. Empty: those of the provider's name.")
    dialect: str = "openai"
    base_url: HttpUrl = Field("", repr=False, description="Empty: the preset's, else the dialect's own address.")
    api_key: ApiKey = Field(SecretStr(""), repr=False)
    api_key_file: str = Field("", description="A file that holds the key, read again when it changes.")
    api_key_command: Annotated[tuple[str, ...], BeforeValidator(_split_command)] = Field(
        (), repr=False, description="A program that prints the key."
    )
    api_key_ttl: PositiveDuration = Field(3600.0, description="How long a key that was printed holds.")
    api_version: Word = Field("", description="Of Azure's dated API. Empty: the one without a date.")
    credentials: Credentials = Credentials()
    headers: dict[str, HeaderValue] = Field(default_factory=dict, repr=False, description="Sent with every call.")
    on_disconnect: OnDisconnect = "cancel"
    markup: MarkupPpm = Field(0, description="Added to what its models cost; negative: a discount.")
    catalogue: str = Field(
        "", description="Who in the catalogue has its prices, or none. Empty: as its address or its name says."
    )
    sim: SimOptions = SimOptions()


class Timeouts(Section):
    """How long to wait for what."""

    connect: PositiveDuration = 3.0
    headers: PositiveDuration = 30.0
    first_token: PositiveDuration = 30.0
    gap: PositiveDuration = 30.0
    total: PositiveDuration = 600.0


class Breaker(Section):
    """When a deployment is left alone, and for how long."""

    failures: int = Field(5, ge=1)
    rate: Share = 0.1
    calls: int = Field(20, ge=1)
    window: PositiveDuration = 60.0
    open_for: PositiveDuration = 30.0
    probes: int = Field(1, ge=1)


def _parse_after(value: Any) -> Any:
    if value == "p95":
        return value
    try:
        seconds = parse_duration(value)
    except ValueError:
        raise ValueError("must be p95, or a duration such as 800ms") from None
    if not seconds:
        raise ValueError("must be p95, or a duration of more than nothing")
    return seconds


class Hedge(Section):
    """A second attempt beside a first one that is slow."""

    after: Annotated[
        Literal["p95"] | float,
        BeforeValidator(_parse_after),
        PlainSerializer(lambda after: after if after == "p95" else format_duration(after)),
    ] = "p95"
    budget: Share = Field(0.05, description="Extra calls, as a share of all questions.")


class Rates(Section):
    """What tokens cost. Amounts are per 1M tokens; an absent one is that of the tokens it belongs to."""

    input: NanoUsd
    output: NanoUsd
    cached_input: NanoUsd | None = None
    cache_write: NanoUsd | None = None
    cache_write_1h: NanoUsd | None = Field(None, description="Absent: as cache_write.")
    reasoning: NanoUsd | None = None
    input_audio: NanoUsd | None = None
    output_audio: NanoUsd | None = None
    input_image: NanoUsd | None = None
    output_image: NanoUsd | None = None


class LargePromptRates(Rates):
    """What all tokens cost where the prompt has more than so many."""

    tokens: int = Field(ge=1, le=10**9)


def _check_sizes(tiers: tuple[LargePromptRates, ...]) -> tuple[LargePromptRates, ...]:
    sizes = [tier.tokens for tier in tiers]
    if len(set(sizes)) < len(sizes):
        raise ValueError("must not name a number of tokens twice")
    return tuple(sorted(tiers, key=lambda tier: tier.tokens))


LargePrompts = Annotated[tuple[LargePromptRates, ...], AfterValidator(_check_sizes)]
"""By size, smallest first."""


class ServiceTierRates(Section):
    """What a service tier costs: rates of its own, or a `multiplier` of the usual ones. A percentage alone is that."""

    multiplier: MultiplierPpm | None = None
    input: NanoUsd | None = None
    output: NanoUsd | None = None
    cached_input: NanoUsd | None = None
    cache_write: NanoUsd | None = None
    cache_write_1h: NanoUsd | None = None
    reasoning: NanoUsd | None = None
    input_audio: NanoUsd | None = None
    output_audio: NanoUsd | None = None
    input_image: NanoUsd | None = None
    output_image: NanoUsd | None = None
    above: LargePrompts = ()

    @model_validator(mode="before")
    @classmethod
    def _take_a_percentage(cls, value: Any) -> Any:
        return {"multiplier": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _check_rates(self) -> Self:
        if self.multiplier is None and (self.input is None or self.output is None):
            raise ValueError("must be a percentage of the usual rates such as 50%, or have input and output")
        if self.multiplier is not None and len(self.model_fields_set) > 1:
            raise ValueError("has a multiplier of the usual rates, and cannot have rates of its own")
        return self


class PriceTerms(Rates):
    """What a model costs."""

    request: NanoUsd = Field(0, description="For every request, beside its tokens.")
    above: LargePrompts = Field((), description="What replaces the rates for large prompts.")
    tiers: dict[str, ServiceTierRates] = Field(default_factory=dict, description="By the provider's name for them.")
    context: int = Field(0, ge=0, description="The model's context window in tokens. 0: not known.")


class PriceEntry(PriceTerms):
    """A price of one's own."""

    provider: str
    model: str = "*"


Capability = Literal["tools", "vision", "prefill", "json_schema", "audio", "files", "reasoning"]


class Deployment(Section):
    """A provider's model that can answer for a name."""

    provider: str
    model: str = Field("", description="The provider's own name for it. Empty: what `mesh.config.patterns` says.")
    weight: int = Field(1, ge=1)
    can: tuple[Capability, ...] | None = Field(None, description="Absent: everything but prefill.")
    context: int | None = Field(None, ge=1, description="Tokens. Absent: not known.")
    price: PriceTerms | None = Field(None, description="As an entry of `prices` for this provider and model.")
    markup: MarkupPpm | None = Field(None, description="Absent: the provider's.")
    retries: int | None = Field(None, ge=0)
    timeouts: Timeouts | None = None
    breaker: Breaker | None = None


class CacheOptIn(Section):
    """How answers of a model, or to a key, are kept. A duration alone is the `ttl`."""

    ttl: PositiveDuration

    @model_validator(mode="before")
    @classmethod
    def _take_a_duration(cls, value: Any) -> Any:
        return {"ttl": value} if isinstance(value, str) else value


def _check_not_empty(entries: tuple[Any, ...]) -> tuple[Any, ...]:
    if not entries:  # pydantic's own check counts what is valid, and complains a second time about a bad entry
        raise ValueError("must have at least one entry")
    return entries


class Model(Section):
    """What stands behind a name that clients use, or behind many (`mesh.config.patterns`)."""

    strategy: Literal["ordered", "weighted", "least_busy", "latency", "cost", "affinity"] = "ordered"
    latency_bound: PositiveDuration | None = Field(None, description="For the strategy cost.")
    sticky: Literal["key", "session", "none"] | None = Field(
        None, description="Absent: session, but none where the strategy is ordered."
    )
    deployments: Annotated[tuple[Deployment, ...], AfterValidator(_check_not_empty)]
    fallbacks: tuple[str, ...] = ()
    description: str = ""
    retries: int | None = Field(None, ge=0)
    timeouts: Timeouts | None = None
    breaker: Breaker | None = None
    continuations: int | None = Field(None, ge=0)
    assured: bool = Field(False, description="Whether answers are held back until they are whole.")
    hedge: Hedge | None = None
    cache: CacheOptIn | None = Field(None, description="Absent: only what a key or a request asks to be kept is.")

    @model_validator(mode="after")
    def _check_bound(self) -> Model:
        if self.latency_bound is not None and self.strategy != "cost":
            raise ValueError("has a latency_bound, which only the strategy cost keeps to")
        return self


class Defaults(Section):
    """What holds where a model or deployment says nothing of its own."""

    retries: int = Field(3, ge=0)
    retry_after_wait: Duration = 5.0
    timeouts: Timeouts = Timeouts()
    breaker: Breaker = Breaker()
    continuations: int = Field(2, ge=0, description="Further calls that go on with an answer which broke off.")
    hedge: Hedge | None = Field(None, description="Absent: no second attempts.")


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value  # a single name needs no brackets


Names = Annotated[tuple[str, ...], BeforeValidator(_listed), AfterValidator(_check_not_empty)]
"""A list of names or patterns, or a single one."""

Need = Literal["tools", "vision", "json_schema", "audio", "files", "reasoning"]


class RuleTokens(Section):
    """Estimated tokens of a prompt."""

    over: int | None = Field(None, ge=0)
    under: int | None = Field(None, ge=1)

    @model_validator(mode="after")
    def _check_span(self) -> RuleTokens:
        if self.over is None and self.under is None:
            raise ValueError("must have over or under")
        if self.over is not None and self.under is not None and self.under - self.over < 2:
            raise ValueError("must leave a number between over and under")
        return self


class RuleTime(Section):
    """Hours of the day, in a time zone."""

    days: Days | None = Field(None, description="Absent: every day.")
    from_: TimeOfDay = Field(0, alias="from", description="Minutes since midnight.")
    to: TimeOfDay = Field(24 * 60, description="Minutes since midnight; not included.")
    zone: Zone = Field("UTC", description="As in Europe/Zurich.")


class RuleCondition(Section):
    """All that must hold. A list holds where one entry does, `tags` and `needs` where all do."""

    model: Names | None = None
    key: Names | None = None
    project: Names | None = None
    tenant: Names | None = None
    tags: Names | None = None
    tokens: RuleTokens | None = None
    needs: Annotated[tuple[Need, ...], BeforeValidator(_listed), AfterValidator(_check_not_empty)] | None = None
    time: RuleTime | None = None


class RuleParameters(Section):
    """What a rule sets in a question, whatever the client said."""

    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    top_k: int | None = Field(None, ge=1, lt=2**31)
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    stop: Annotated[tuple[str, ...], BeforeValidator(_listed)] | None = None
    max_tokens: int | None = Field(None, ge=1, lt=2**63)
    reasoning_effort: str | None = Field(None, min_length=1)
    service_tier: str | None = Field(None, min_length=1)
    parallel_tool_calls: bool | None = None

    @model_validator(mode="after")
    def _check_not_empty(self) -> RuleParameters:
        if not self.model_fields_set:
            raise ValueError("must set at least one parameter")
        return self


class RuleAction(Section):
    """What is done. `deny` stands alone; the others go together."""

    choose: Names | None = None
    exclude: Names | None = None
    rewrite: str | None = Field(None, min_length=1)
    set: RuleParameters | None = None
    deny: str | None = Field(None, min_length=1, description="The reason that the client is told.")

    @model_validator(mode="after")
    def _check_actions(self) -> RuleAction:
        given = [name for name in type(self).model_fields if name in self.model_fields_set]
        if not given:
            raise ValueError("must say what to do: choose, exclude, rewrite, set or deny")
        if self.deny is not None and len(given) > 1:
            raise ValueError("cannot deny and do something else")
        return self


class Rule(Section):
    """Under which conditions a question is sent elsewhere, changed, or refused."""

    name: str = Field(min_length=1)
    when: RuleCondition = RuleCondition()
    then: RuleAction


SHORTEST_KEY = 16
LONGEST_KEY = 512
MOST_TAGS = 16


def _check_callers_key(key: SecretStr) -> SecretStr:
    plain = _check_key(key).get_secret_value()
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
    models: Annotated[tuple[str, ...], AfterValidator(_check_not_empty)] = ("*",)
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
    concurrency: int | None = Field(None, ge=1, description="Requests under way.")

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
    budgets: tuple[BudgetEntry, ...] = ()
    limits: tuple[Limit, ...] = ()
    rules: tuple[Rule, ...] = ()
    keys: tuple[Key, ...] = ()
    ledger: Ledger = Ledger()
    journal: Journal = Journal()
    state: State = State()
    idempotency: Idempotency = Idempotency()
    cache: Cache = Cache()
    telemetry: Telemetry = Telemetry()
    http: Http = Http()
    grpc: Grpc = Grpc()
