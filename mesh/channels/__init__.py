"""How one service reaches another: over a wire (`dial`), or inside the process, with the same behaviour."""

from mesh.channels.dial import dial, message_limits
from mesh.channels.inprocess.channel import InProcessChannel
from mesh.channels.inprocess.server import InProcessServer

__all__ = ["InProcessChannel", "InProcessServer", "dial", "message_limits"]
