"""What a caller shows for itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc

from mesh.channels.inprocess.context import sent_metadata

Admit = Callable[[str, str], None]
"""Takes what a caller shows and the RPC it calls (`/package.Service/Method`); raises TollwayError where it may not."""


def credentials_of(context: grpc.aio.ServicerContext[Any, Any]) -> str:
    """The call's `authorization`, as HTTP has it: `Bearer …`. Empty: nothing.

    Of a caller that shows several things it is all of them, joined as HTTP joins a header that came twice: nobody is to
    be taken for one here and for another elsewhere.
    """
    shown: list[str] = []
    for key, value in sent_metadata(context):
        if key == "authorization" and value not in shown:
            shown.append(str(value))
    return ", ".join(shown)


def metadata_of(key: str) -> tuple[tuple[str, str], ...]:
    """What a call carries that shows this key; nothing for an empty one."""
    return (("authorization", f"Bearer {key}"),) if key else ()
