"""Tests run on gRPC as the command line sets it up, which has to happen before grpc is first imported."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import tollway_cli
from tests.redis_server import redis_url

assert tollway_cli.__doc__


@pytest.fixture(scope="session")
def redis() -> Iterator[str]:
    """The URL of a real Redis, which tests share: each uses keys of its own."""
    with redis_url() as url:
        yield url
