from __future__ import annotations

from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import FieldViolation, Reason, TollwayError
from mesh.status import abort, code_of, from_rpc_error, from_service

DETAILS = "grpc-status-details-bin"


class Aborted(Exception):
    pass


class Context:
    """Takes an abort, and gives it back as the error a caller would see."""

    def __init__(self, *trailing: tuple[str, Any]) -> None:
        self._trailing = trailing

    def trailing_metadata(self) -> tuple[tuple[str, Any], ...]:
        return self._trailing

    async def abort(self, code: grpc.StatusCode, details: str, trailing: tuple[tuple[str, Any], ...]) -> None:
        self.size = len(details.encode()) + sum(len(value) for _, value in trailing)
        self.seen = grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(*trailing), details)
        raise Aborted


async def crossed(error: TollwayError, *trailing: tuple[str, Any]) -> Context:
    context: Any = Context(*trailing)
    with pytest.raises(Aborted):
        await abort(context, error)
    return context  # type: ignore[no-any-return]  # the stand-in, under its own type again


def foreign(code: grpc.StatusCode, details: str | None = None, raw: bytes | None = None) -> grpc.aio.AioRpcError:
    trailers = grpc.aio.Metadata((DETAILS, raw)) if raw is not None else grpc.aio.Metadata()
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), trailers, details)


short = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@given(
    st.sampled_from(Reason),
    short,
    st.dictionaries(short, short, max_size=4),
    st.none() | st.integers(0, 10**6).map(lambda milliseconds: milliseconds / 1000),
    st.lists(st.builds(FieldViolation, short, short), max_size=4).map(tuple),
)
async def test_an_error_crosses_whole(
    reason: Reason,
    message: str,
    metadata: dict[str, str],
    retry_after: float | None,
    violations: tuple[FieldViolation, ...],
) -> None:
    error = TollwayError(reason, message, metadata, retry_after, violations)
    seen = (await crossed(error)).seen
    assert seen.code() is code_of(error)
    again = from_rpc_error(seen)
    assert (again.reason, again.message, again.metadata) == (reason, message, metadata)
    assert again.retry_after == retry_after
    assert again.violations == violations


async def test_what_is_too_much_for_trailers_is_cut() -> None:
    huge = "é" * 100_000
    violations = tuple(FieldViolation(huge, huge) for _ in range(10_000))
    error = TollwayError(Reason.INVALID_REQUEST, huge, {f"{n}": huge for n in range(100)}, violations=violations)
    context = await crossed(error)
    assert context.size < 12_000
    again = from_rpc_error(context.seen)
    assert again.reason is Reason.INVALID_REQUEST
    assert again.message.endswith("é...")
    assert 0 < len(again.violations) < 20


async def test_trailers_that_were_set_are_kept() -> None:
    context = await crossed(TollwayError(Reason.INTERNAL, "x"), ("x-cost", "1"), (DETAILS, b"stale"))
    trailers = context.seen.trailing_metadata()
    assert trailers is not None
    assert trailers["x-cost"] == "1"
    assert trailers.get_all(DETAILS) != [b"stale"]
    assert len(trailers.get_all(DETAILS)) == 1


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (grpc.StatusCode.UNAVAILABLE, Reason.SERVICE_UNAVAILABLE),
        (grpc.StatusCode.DEADLINE_EXCEEDED, Reason.DEADLINE_EXCEEDED),
        (grpc.StatusCode.CANCELLED, Reason.CANCELLED),
        (grpc.StatusCode.UNKNOWN, Reason.INTERNAL),
        (grpc.StatusCode.UNIMPLEMENTED, Reason.INTERNAL),
        (grpc.StatusCode.INTERNAL, Reason.INTERNAL),
    ],
)
def test_a_status_that_is_not_ours_is_read_by_its_code(code: grpc.StatusCode, reason: Reason) -> None:
    error = from_rpc_error(foreign(code, "said the peer"))
    assert error.reason is reason
    assert "said the peer" in error.message
    assert from_rpc_error(foreign(code)).reason is reason


@pytest.mark.parametrize(
    ("code", "reason", "told"),
    [
        (grpc.StatusCode.UNAVAILABLE, Reason.SERVICE_UNAVAILABLE, "the router cannot be reached"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, Reason.DEADLINE_EXCEEDED, "the router did not answer in time"),
        (grpc.StatusCode.CANCELLED, Reason.CANCELLED, "the call to the router was cancelled"),
        (grpc.StatusCode.UNKNOWN, Reason.INTERNAL, "the call to the router failed; the log says why"),
    ],
)
def test_what_grpc_says_of_addresses_is_told_to_no_client(code: grpc.StatusCode, reason: Reason, told: str) -> None:
    error = from_service(foreign(code, "last error: UNKNOWN: unix:/run/p.sock: connect: refused (111)"), "the router")
    assert (error.reason, error.message) == (reason, told)


def test_what_grpc_says_of_addresses_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    from_service(foreign(grpc.StatusCode.UNAVAILABLE, "unix:/run/p.sock: connect: refused (111)"), "the router")
    assert "the call to the router failed: UNAVAILABLE: unix:/run/p.sock: connect: refused (111)" in caplog.text


async def test_what_a_service_says_itself_is_told_on() -> None:
    seen = (await crossed(TollwayError(Reason.MODEL_NOT_FOUND, "there is no model 'x'"))).seen
    error = from_service(seen, "the router")
    assert (error.reason, error.message) == (Reason.MODEL_NOT_FOUND, "there is no model 'x'")


def test_bytes_that_are_no_status_are_passed_over() -> None:
    error = from_rpc_error(foreign(grpc.StatusCode.UNAVAILABLE, "gone", b"\xff\xff\xff"))
    assert error.reason is Reason.SERVICE_UNAVAILABLE


def test_a_detail_that_cannot_be_read_is_passed_over() -> None:
    status = Status()
    status.details.add(type_url="type.googleapis.com/google.rpc.ErrorInfo", value=b"\xff\xff\xff")
    error = from_rpc_error(foreign(grpc.StatusCode.UNAVAILABLE, "gone", status.SerializeToString()))
    assert error.reason is Reason.SERVICE_UNAVAILABLE


@pytest.mark.parametrize(
    ("domain", "reason"), [("example.com", "RATE_LIMITED"), ("tollway.dev", "A_REASON_OF_THE_FUTURE")]
)
def test_a_reason_that_is_not_of_our_table_is_read_by_its_code(domain: str, reason: str) -> None:
    status = Status()
    status.details.add().Pack(ErrorInfo(reason=reason, domain=domain))
    error = from_rpc_error(foreign(grpc.StatusCode.UNAVAILABLE, "busy", status.SerializeToString()))
    assert error.reason is Reason.SERVICE_UNAVAILABLE


def test_an_error_without_trailers_is_read_by_its_code() -> None:
    error = grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE)
    assert from_rpc_error(error).reason is Reason.SERVICE_UNAVAILABLE
