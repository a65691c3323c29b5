"""Showing AWS who pays: by a signature (Signature Version 4), or by an API key of Bedrock.

Keys come from the configuration, or from where botocore looks for them: the environment, a profile, a web identity, a
container's or an instance's metadata. Looking may take a file, a process or a request: it happens in a thread, once for
all calls that wait for it. Keys that expire are renewed a quarter of an hour before, beside the calls; only where less
than ten minutes are left do calls wait for it.

botocore is imported when the first call is signed.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from yarl import URL

from mesh.clock import Clock
from mesh.errors import Reason, TollwayError
from mesh.telemetry.redaction import learn
from services.providers.domain.wire import Outgoing

_EARLY = 900.0
"""Seconds before the end of keys from which on new ones are looked for, beside the calls."""
_URGENT = 600.0
"""Seconds before it from which on calls wait for them."""
_PAUSE = 30.0
"""Seconds between two looks for new keys while those at hand are good enough."""
_SIGNED = ("content-type",)
"""What is signed besides the host and AWS's own headers: the others may change on the way."""
_TELLING = ("ProfileNotFound", "PartialCredentialsError", "ConfigParseError")
"""botocore's errors whose text names what is missing, and quotes no secret."""


class Keys(NamedTuple):
    """What a call is signed with."""

    access_key_id: str
    secret_access_key: str
    session_token: str

    def __repr__(self) -> str:
        return "Keys(…)"


Source = Any
"""botocore's credentials, which are not typed."""


def bedrock_base_url(region: str) -> str:
    """Where Bedrock's models are asked in that region."""
    ending = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    return f"https://bedrock-runtime.{region}.{ending}"


class AwsCredentials:
    """Implements `ports.Credentials`. With no key given, those of the machine are looked for.

    `find` is how: it returns botocore's credentials or None, and is called in a thread.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        region: str,
        service: str = "bedrock",
        profile: str = "",
        access_key_id: str = "",
        secret_access_key: str = "",
        session_token: str = "",
        find: Callable[[], Source | None] | None = None,
    ) -> None:
        self._clock, self._region, self._service = clock, region, service
        self._keys = Keys(access_key_id, secret_access_key, session_token) if access_key_id else None
        self._given = self._keys is not None
        self._bearer = "" if self._given or profile else f"AWS_BEARER_TOKEN_{service.upper()}"
        self._find = find or (lambda: _botocore_credentials(profile))
        self._source: Source | None = None
        self._renewal: asyncio.Task[Keys] | None = None
        self._next_look = 0.0

    async def sign(self, call: Outgoing) -> Outgoing:
        """The call with its signature. Raises UPSTREAM_CREDENTIALS where no keys can be had."""
        if self._bearer and (key := os.environ.get(self._bearer)):
            learn(key)
            return call._replace(headers={**call.headers, "authorization": f"Bearer {key}"})
        keys = await self._current()
        return signed(call, keys, self._region, self._service, self._clock.time())

    def refused(self) -> None:
        """AWS did not take the keys: the next call looks for others, as when a file of keys was written anew."""
        if not self._given and self._clock.monotonic() >= self._next_look:
            self._source = self._keys = None

    async def _current(self) -> Keys:
        if self._keys is not None and (self._given or not self._expires_within(_EARLY)):
            return self._keys
        if self._keys is not None and not self._expires_within(_URGENT):
            if self._clock.monotonic() >= self._next_look:
                self._renew()
            return self._keys
        return await asyncio.shield(self._renew())

    def _expires_within(self, seconds: float) -> bool:
        # Keys that do not expire have nothing to ask.
        needed = getattr(self._source, "refresh_needed", None)
        return needed is not None and bool(needed(seconds))

    def _renew(self) -> asyncio.Task[Keys]:
        """The look for new keys: the one that is under way, if there is one."""
        if self._renewal is None:
            self._renewal = asyncio.create_task(self._look())
            self._renewal.add_done_callback(self._renewed)
        return self._renewal

    def _renewed(self, task: asyncio.Task[Keys]) -> None:
        self._renewal = None
        self._next_look = self._clock.monotonic() + _PAUSE
        if not task.cancelled() and task.exception() is None:
            self._keys = task.result()

    async def _look(self) -> Keys:
        try:
            return await asyncio.to_thread(self._fetch)
        except _failures() as error:
            kind = type(error).__name__
            why = f"{kind}: {error}" if kind in _TELLING else kind
            raise _unknown(f"AWS credentials cannot be had ({why})") from None

    def _fetch(self) -> Keys:
        """Keys as they are now, renewed where that is due. Runs in a thread."""
        if self._source is None:
            _keep_quiet()
            self._source = self._find()
        if self._source is None:
            raise _unknown("no AWS credentials are configured, nor found in the environment, a profile or metadata")
        frozen = self._source.get_frozen_credentials()
        for secret in (frozen.secret_key, frozen.token or ""):
            learn(secret)
        return Keys(frozen.access_key, frozen.secret_key, frozen.token or "")


def _unknown(message: str) -> TollwayError:
    return TollwayError(Reason.UPSTREAM_CREDENTIALS, message)


class _NoDetails(logging.Filter):
    """Says that keys were not renewed, and not what a server or a program answered: that may hold some."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.exc_info = record.exc_text = None
        return True


def _keep_quiet() -> None:
    """Has botocore log no answers, which hold keys, and no details of what went wrong."""
    logging.getLogger("botocore").setLevel(logging.WARNING)
    log = logging.getLogger("botocore.credentials")
    if not any(isinstance(each, _NoDetails) for each in log.filters):
        log.addFilter(_NoDetails())


def _failures() -> tuple[type[Exception], ...]:
    """What looking for keys raises: botocore's own, and what the files, processes and servers it asks bring forth."""
    from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]

    return BotoCoreError, ClientError, OSError, ValueError, LookupError, RuntimeError


def _botocore_credentials(profile: str) -> Source | None:
    from botocore.session import Session  # type: ignore[import-untyped]

    return Session(profile=profile or None).get_credentials()


def signed(call: Outgoing, keys: Keys, region: str, service: str, now: float) -> Outgoing:
    """The call with AWS's headers. `now` is Unix time.

    What is signed is the address as it will be sent: HTTP clients do not leave every percent sign as it is.
    """
    from botocore.auth import SIGV4_TIMESTAMP, SigV4Auth  # type: ignore[import-untyped]
    from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]
    from botocore.credentials import ReadOnlyCredentials  # type: ignore[import-untyped]

    headers = {name: value for name, value in call.headers.items() if name.lower() in _SIGNED}
    added = {"x-amz-date": time.strftime(SIGV4_TIMESTAMP, time.gmtime(now))}
    if keys.session_token:
        added["x-amz-security-token"] = keys.session_token
    url = URL(call.url)
    # The host is told here, as HTTP clients write it: botocore would look for it twice.
    asked = {**headers, **added, "host": url.host_port_subcomponent or ""}
    request = AWSRequest(method=call.method, url=str(url), data=call.body, headers=asked)
    request.context["timestamp"] = added["x-amz-date"]
    credentials = ReadOnlyCredentials(keys.access_key_id, keys.secret_access_key, keys.session_token or None)
    signer = SigV4Auth(credentials, service, region)
    signature = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
    names = signer.signed_headers(signer.headers_to_sign(request))
    scope = f"Credential={signer.scope(request)}"
    added["authorization"] = f"AWS4-HMAC-SHA256 {scope}, SignedHeaders={names}, Signature={signature}"
    return call._replace(url=str(url), headers={**call.headers, **added})
