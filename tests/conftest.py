"""Tests run on gRPC as the command line sets it up, which has to happen before grpc is first imported."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

import tollway_cli
from tests import postgres
from tests.redis_server import redis_url

assert tollway_cli.__doc__


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A database on a real PostgreSQL server. Without one the test is skipped, in CI it fails."""
    with postgres.server() as url:
        if url is None:
            if os.environ.get("CI"):
                pytest.fail(postgres.HOW)
            pytest.skip(postgres.HOW)
        yield url


@pytest.fixture(scope="session")
def redis() -> Iterator[str]:
    """The URL of a real Redis, which tests share: each uses keys of its own."""
    with redis_url() as url:
        yield url
