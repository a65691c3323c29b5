#!/usr/bin/env python3
"""Exits with 0 where a server says that it serves, else with 1 and the reason.

healthcheck http://127.0.0.1:8080/readyz      an HTTP page that answers 200
healthcheck 127.0.0.1:50051                   a gRPC server (grpc.health.v1)
"""

from __future__ import annotations

import sys
import urllib.error
import urllib.request

TIMEOUT = 3.0


def http(url: str) -> str:
    """What is wrong; empty: nothing."""
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT):
            return ""
    except urllib.error.HTTPError as refused:
        return f"{refused}: {refused.read(2000).decode(errors='replace')}"
    except OSError as nobody:
        return str(nobody)


def grpc(address: str) -> str:
    """What is wrong; empty: nothing."""
    from grpc import RpcError, insecure_channel  # an HTTP check does without this import
    from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
    from grpc_health.v1.health_pb2_grpc import HealthStub

    with insecure_channel(address) as channel:
        try:
            status = HealthStub(channel).Check(HealthCheckRequest(), timeout=TIMEOUT).status
        except RpcError as error:
            return str(error)
    return "" if status == HealthCheckResponse.SERVING else HealthCheckResponse.ServingStatus.Name(status)


if __name__ == "__main__":
    target = sys.argv[1]
    sys.exit((http if target.startswith("http") else grpc)(target) or 0)
