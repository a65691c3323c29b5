"""Channels to services in other processes."""

from __future__ import annotations

import grpc

from mesh.channels.remote import RemoteChannel
from mesh.metrics import Metrics
from mesh.tracing import Tracer

MAX_METADATA = 32 * 2**10
"""Bytes of headers or trailers that either side accepts. gRPC's own default is a quarter of it."""

_SLACK = 2**20
"""What a message may weigh beyond `http.max_body`: a body the edge took must never be refused further on."""


def message_limits(max_body: int) -> tuple[tuple[str, int], ...]:
    """The gRPC options, of servers and of channels, under which every body of `max_body` bytes passes."""
    limit = max_body + _SLACK
    return (
        ("grpc.max_send_message_length", limit),
        ("grpc.max_receive_message_length", limit),
        ("grpc.max_metadata_size", MAX_METADATA),
        ("grpc.absolute_max_metadata_size", MAX_METADATA),
    )


def dial(
    target: str,
    *,
    tracer: Tracer,
    metrics: Metrics,
    tls: grpc.ChannelCredentials | None = None,
    max_body: int = 32 * 2**20,
) -> grpc.aio.Channel:
    """A channel to `unix:/path`, `host:port` or `dns:///name:port` (or any other target gRPC resolves).

    It connects at the first call and reconnects by itself, within seconds. Calls measure their duration, and those that
    carry a sampled `traceparent` get a CLIENT span under it.
    """
    options: list[tuple[str, str | int]] = [
        *message_limits(max_body),
        ("grpc.enable_http_proxy", 0),  # a hop inside the mesh is nobody's way out
        ("grpc.enable_retries", 0),  # the router alone decides how often something is tried
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 1000),
        ("grpc.max_reconnect_backoff_ms", 2000),
    ]
    if target.startswith("dns:"):
        options.append(("grpc.lb_policy_name", "round_robin"))
    if not target.startswith("unix:"):
        # Notices a peer that vanished without a word; servers here allow a ping every ten seconds.
        options += [("grpc.keepalive_time_ms", 30_000), ("grpc.keepalive_timeout_ms", 10_000)]
    channel = (
        grpc.aio.insecure_channel(target, options) if tls is None else grpc.aio.secure_channel(target, tls, options)
    )
    return RemoteChannel(channel, target, tracer, metrics)
