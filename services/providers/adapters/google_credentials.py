"""Google's access tokens, with which Vertex AI is asked.

google-auth knows where credentials come from (a service account's key file, the files of gcloud and of workload
identity, the machine's metadata server) and how each is turned into a token. It blocks, and so it is asked in a thread,
by one refresh at a time, whoever waits. A token is renewed before it expires, while calls go on with it: only where
there is none left do they wait, and fail where there is none to be had.

google-auth is imported with the first call: it costs a second that nobody else should pay.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from mesh.clock import Clock
from mesh.errors import Reason, TollwayError
from mesh.telemetry.redaction import learn
from services.providers.domain.wire import Outgoing

if TYPE_CHECKING:
    from google.auth.credentials import Credentials

log = logging.getLogger(__name__)

CLOUD_PLATFORM = "https://www.googleapis.com/auth/cloud-platform"
_EARLY = 225.0
"""Seconds before its end in which a token is renewed. Metadata servers give the same one until four minutes before."""
_AGAIN = 10.0
"""Seconds after which a renewal that brought nothing new is tried again."""
_TIMEOUT = 20.0
"""Seconds that a token endpoint may take."""
_REGIONS_OF_MANY = ("eu", "us")
_OAUTH_ERROR = re.compile(
    r"(access_denied|invalid_(client|grant|rapt|request|scope)|unauthorized_client|unsupported_grant_type)\b"
)
"""What a token endpoint calls its refusals (RFC 6749, section 5.2): the one part of its answer that is passed on."""


def vertex_base_url(project: str, location: str) -> str:
    """Where Google's models are asked in that project and location. No location is `global`. Raises ValueError."""
    if not project:
        raise ValueError("Vertex AI is asked in a project: its name must be given")
    location = location or "global"
    if location == "global":
        host = "aiplatform.googleapis.com"
    elif location in _REGIONS_OF_MANY:
        host = f"aiplatform.{location}.rep.googleapis.com"
    else:
        host = f"{quote(location, safe='')}-aiplatform.googleapis.com"
    place = f"projects/{quote(project, safe=':')}/locations/{quote(location, safe='')}"
    return f"https://{host}/v1/{place}/publishers/google"


class _Token(NamedTuple):
    """`until` is on the clock's monotonic time; None: it does not expire."""

    headers: dict[str, str]
    until: float | None


class GoogleCredentials:
    """Implements `ports.Credentials`. Used inside one running event loop.

    `credentials_file` is a key or configuration as google-auth reads it; empty: application default credentials, as the
    environment has them. `given` stands in for both.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        credentials_file: str = "",
        scopes: Sequence[str] = (CLOUD_PLATFORM,),
        given: Credentials | None = None,
    ) -> None:
        self._clock = clock
        self._file, self._scopes = credentials_file, tuple(scopes)
        self._credentials = given
        self._token: _Token | None = None
        self._renewal: asyncio.Task[_Token] | None = None
        self._renewed = float("-inf")

    async def sign(self, call: Outgoing) -> Outgoing:
        """The call with an access token. Raises UPSTREAM_CREDENTIALS where there is none to be had."""
        token = self._token
        now = self._clock.monotonic()
        if token is None or (token.until is not None and now >= token.until):
            # Shielded: who waits may leave, and the others still get their token.
            token = await asyncio.shield(self._renew())
        elif token.until is not None and now >= token.until - _EARLY and now >= self._renewed + _AGAIN:
            self._renew()
        return call._replace(headers={**call.headers, **token.headers})

    def refused(self) -> None:
        """The provider did not take the token: the next call has another, unless this one was just fetched."""
        if self._clock.monotonic() >= self._renewed + _AGAIN:
            self._token = None

    def _renew(self) -> asyncio.Task[_Token]:
        """The renewal that is under way, or a new one."""
        if self._renewal is None or self._renewal.done():
            self._renewed = self._clock.monotonic()
            self._renewal = asyncio.create_task(self._fetch())
            self._renewal.add_done_callback(_tell_failure)
        return self._renewal

    async def _fetch(self) -> _Token:
        # Counted from before it was asked for, so that it is never thought to last longer than it does.
        asked = self._clock.monotonic()
        try:
            headers, seconds = await asyncio.to_thread(self._ask)
        except _failures() as error:
            raise _refused(error) from None
        self._token = _Token(headers, None if seconds is None else asked + seconds)
        return self._token

    def _ask(self) -> tuple[dict[str, str], float | None]:
        """Blocks. The headers that a call is signed with, and for how many seconds they do."""
        from google.auth.transport.requests import Request

        request = partial(Request(), timeout=_TIMEOUT)
        if self._credentials is None:
            self._credentials = self._load(request)
        credentials = self._credentials
        credentials.refresh(request)  # type: ignore[no-untyped-call]
        learn(credentials.token or "")
        headers = {"authorization": f"Bearer {credentials.token}"}
        if credentials.quota_project_id:
            headers["x-goog-user-project"] = credentials.quota_project_id
        return headers, _seconds_left(credentials.expiry)

    def _load(self, request: Any) -> Credentials:
        import google.auth

        found: tuple[Credentials, str | None] = (
            google.auth.load_credentials_from_file(  # type: ignore[no-untyped-call]
                self._file, scopes=self._scopes, request=request
            )
            if self._file
            else google.auth.default(scopes=self._scopes, request=request)
        )
        return found[0]


def _seconds_left(expiry: datetime | None) -> float | None:
    """google-auth gives the end of a token in UTC, without saying so."""
    return None if expiry is None else (expiry.replace(tzinfo=UTC) - datetime.now(UTC)).total_seconds()


def _failures() -> tuple[type[Exception], ...]:
    """What google-auth raises, and what reading a file does that is missing or none of Google's."""
    from google.auth.exceptions import GoogleAuthError

    return GoogleAuthError, OSError, ValueError


def _refused(error: Exception) -> TollwayError:
    """Says what kind of failure it was, and no word of its message: that may quote keys, tokens and whole answers."""
    metadata = {"upstream_type": type(error).__name__}
    said = _OAUTH_ERROR.match(str(error.args[0])) if error.args else None
    if said:
        metadata["upstream_code"] = said[0]
    why = f"{type(error).__name__}: {said[0]}" if said else type(error).__name__
    return TollwayError(Reason.UPSTREAM_CREDENTIALS, f"no access token could be had from Google ({why})", metadata)


def _tell_failure(renewal: asyncio.Task[_Token]) -> None:
    """A renewal that nobody waits for fails here alone, while calls go on with the token that there is."""
    if not renewal.cancelled() and (error := renewal.exception()) is not None:
        log.warning("a Google access token could not be renewed: %s", error)
