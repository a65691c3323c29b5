"""How an answer came about, as response headers and as the `tollway` object on a stream's last event."""

from __future__ import annotations

from gateway_http.openai_response import encode_json
from gateway_http.rate_limits import limit_headers
from mesh.money import format_usd
from tollway.router.v1.router_pb2 import Receipt


def receipt_headers(receipt: Receipt) -> dict[str, str]:
    """What is known: a stream's cost is not, when its headers are sent."""
    headers = {"x-tollway-deployment": receipt.deployment, "x-tollway-attempts": str(receipt.attempts)}
    if receipt.HasField("cost_nanos"):
        headers["x-tollway-cost-usd"] = format_usd(receipt.cost_nanos)
    if receipt.HasField("rate_limits"):
        headers.update(limit_headers(receipt.rate_limits))
    return headers


def receipt_json(receipt: Receipt, trace_id: str) -> bytes:
    """The cost is written digit by digit, so it is exact for whoever reads numbers so; null where it is not known."""
    cost = format_usd(receipt.cost_nanos) if receipt.HasField("cost_nanos") else "null"
    rest = encode_json({"attempts": receipt.attempts, "deployment": receipt.deployment, "trace_id": trace_id})
    return b'{"cost_usd":%b,%b' % (cost.encode(), rest[1:])
