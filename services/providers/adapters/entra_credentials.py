"""Tokens of Microsoft Entra, for Azure OpenAI: of an application with a secret, or of whatever the machine is.

azure-identity asks for them, in a thread: its client blocks, and takes a second to import.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

from mesh.clock import Clock
from mesh.telemetry.redaction import learn
from services.providers.domain.renewal import Renewal, Secret, unavailable
from services.providers.domain.wire import Outgoing

SCOPE = "https://cognitiveservices.azure.com/.default"
_LONGEST_WAIT = 60.0
"""Seconds that a token may take; managed identities answer slowly when a machine has just started."""
_CODE = re.compile(r"AADSTS\d+")

Make = Callable[[], Any]
"""Makes a credential of azure-identity; called in a thread."""


class EntraCredentials:
    """Implements `ports.Credentials`: a bearer token, fetched once for many calls and anew before it expires."""

    def __init__(
        self,
        clock: Clock,
        *,
        tenant: str = "",
        client_id: str = "",
        client_secret: str = "",
        scope: str = "",
        make: Make | None = None,
    ) -> None:
        self._clock, self._scope = clock, scope or SCOPE
        self._make = make or (lambda: _credential(tenant, client_id, client_secret))
        self._credential: Any = None
        self._token = Renewal(self._fetch, clock, what="a token of Entra")

    async def sign(self, call: Outgoing) -> Outgoing:
        token = await self._token.get()
        return call._replace(headers={**call.headers, "authorization": f"Bearer {token}"})

    def refused(self) -> None:
        self._credential = None  # it would answer with the token it remembers
        self._token.refused()

    async def _fetch(self) -> Secret:
        try:
            async with self._clock.timeout(_LONGEST_WAIT):
                token = await asyncio.to_thread(self._ask)
        except TimeoutError:
            raise unavailable(f"Entra gave no token within {_LONGEST_WAIT:g}s") from None
        except ImportError as error:
            raise unavailable(f"azure-identity is not installed: {error.name}") from None
        except Exception as error:  # noqa: BLE001  # whatever a chain of credentials and their HTTP client can raise
            code = _CODE.search(str(error))
            named = f"{type(error).__name__}{f' {code[0]}' if code else ''}"
            raise unavailable(f"Entra gave no token: {named}") from None
        learn(token.token)
        return Secret(token.token, token.expires_on - self._clock.time())

    def _ask(self) -> Any:
        if self._credential is None:
            self._credential = self._make()
        return self._credential.get_token(self._scope)


def _credential(tenant: str, client_id: str, client_secret: str) -> Any:
    from azure.identity import ClientSecretCredential, DefaultAzureCredential

    if client_secret:
        return ClientSecretCredential(tenant, client_id, client_secret)
    given = {"managed_identity_client_id": client_id, "workload_identity_client_id": client_id} if client_id else {}
    return DefaultAzureCredential(**given, **({"workload_identity_tenant_id": tenant} if tenant else {}))
