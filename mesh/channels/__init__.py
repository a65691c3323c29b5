"""How one service reaches another: over a wire (`dial`), or inside the process, with the same behaviour."""

from typing import Any

import grpc

from mesh.channels.dial import dial, message_limits
from mesh.channels.inprocess.call import UnaryStreamCall
from mesh.channels.inprocess.channel import InProcessChannel
from mesh.channels.inprocess.server import InProcessServer

__all__ = ["InProcessChannel", "InProcessServer", "dial", "message_limits", "next_is_here"]


def next_is_here(call: grpc.aio.UnaryStreamCall[Any, Any]) -> bool:
    """Whether the next message of a call, or its end, can be had without waiting. Over a wire nobody knows: False."""
    return isinstance(call, UnaryStreamCall) and call.next_is_here
