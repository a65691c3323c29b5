"""Who can be called, and with which credentials."""

from __future__ import annotations

import re
import shlex
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, SecretStr, Tag

from mesh.config.schema.section import Section
from mesh.config.values import Duration, HeaderValue, HttpUrl, MarkupPpm, PositiveDuration


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


def check_key(key: SecretStr) -> SecretStr:
    plain = key.get_secret_value().strip()  # files and secret stores like to end them with a line break
    if not plain.isascii() or any(character.isspace() or not character.isprintable() for character in plain):
        raise ValueError("must be a key: printable ASCII without white space")
    return SecretStr(plain)


MOST_SIM_TOKENS = 100_000
"""Of an answer. More would be a burden on the process rather than a conversation."""
MOST_SIM_RATE = 1_000_000


class SimOptions(Section):
    """How the built-in model behaves where the model's name does not say otherwise."""

    ttft: Duration = 0.0
    rate: float = Field(0.0, ge=0, le=MOST_SIM_RATE, description="Tokens per second; 0: as fast as can be.")
    tokens: int = Field(20, ge=0, le=MOST_SIM_TOKENS, description="Length of a generated answer.")


def _check_word(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]*", text):
        raise ValueError("must be a name of letters, digits, hyphens and underscores")
    return text


Word = Annotated[str, AfterValidator(_check_word)]
ApiKey = Annotated[SecretStr, AfterValidator(check_key)]


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
