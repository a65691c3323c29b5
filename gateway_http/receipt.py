"""How an answer came about, as response headers and as the `tollway` object on a stream's last event."""

from __future__ import annotations

from typing import Any

from gateway_http.header_text import header_list, header_text
from gateway_http.json_output import encode_json
from gateway_http.rate_limits import limit_headers
from mesh.money import format_usd
from tollway.router.v1.router_pb2 import CONTINUATION_PREFILL, CONTINUATION_SPLICE, CacheOutcome, Receipt

_CONTINUATIONS = {CONTINUATION_PREFILL: "prefill", CONTINUATION_SPLICE: "splice"}

_CACHE = {
    CacheOutcome.CACHE_OUTCOME_HIT: "hit",
    CacheOutcome.CACHE_OUTCOME_MISS: "miss",
    CacheOutcome.CACHE_OUTCOME_REFRESHED: "refreshed",
}


def receipt_headers(receipt: Receipt) -> dict[str, str]:
    """What is known: a stream's cost is not, when its headers are sent."""
    headers = {"x-tollway-deployment": header_text(receipt.deployment), "x-tollway-attempts": str(receipt.attempts)}
    if receipt.HasField("cost_nanos"):
        headers["x-tollway-cost-usd"] = format_usd(receipt.cost_nanos)
    if receipt.hedged:
        headers["x-tollway-hedged"] = "1"
    if receipt.cache:
        headers["x-tollway-cache"] = _CACHE.get(receipt.cache, "")
    if receipt.HasField("age"):
        headers["age"] = str(receipt.age.seconds)
    if receipt.replayed:
        headers["x-tollway-replayed"] = "1"
    if receipt.dropped:
        headers["x-tollway-dropped"] = header_list(receipt.dropped)
    if receipt.HasField("rate_limits"):
        headers.update(limit_headers(receipt.rate_limits))
    return headers


def receipt_json(receipt: Receipt, trace_id: str) -> bytes:
    """The cost is written digit by digit, so it is exact for whoever reads numbers so; null where it is not known."""
    cost = format_usd(receipt.cost_nanos) if receipt.HasField("cost_nanos") else "null"
    rest = {"attempts": receipt.attempts, "deployment": receipt.deployment, "trace_id": trace_id, **_told(receipt)}
    return b'{"cost_usd":%b,%b' % (cost.encode(), encode_json(rest)[1:])


def _told(receipt: Receipt) -> dict[str, Any]:
    """What is out of the ordinary."""
    told: dict[str, Any] = {}
    if receipt.hedged:
        told["hedged"] = True
    if receipt.continuations:
        told["continued"] = [_CONTINUATIONS[how] for how in receipt.continuations if how in _CONTINUATIONS]
    if receipt.cache:
        told["cache"] = _CACHE.get(receipt.cache, "")
    if receipt.HasField("age"):
        told["age"] = receipt.age.seconds
    if receipt.replayed:
        told["replayed"] = True
    if receipt.dropped:
        told["dropped"] = list(receipt.dropped)
    return told
