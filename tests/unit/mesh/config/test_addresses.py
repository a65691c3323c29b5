"""Where something listens."""

from __future__ import annotations

import pytest

from mesh.config.addresses import TcpAddress, UnixAddress, check_target, overlap, parse_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8080", TcpAddress("127.0.0.1", 8080)),
        ("localhost:0", TcpAddress("localhost", 0)),
        ("0.0.0.0:65535", TcpAddress("0.0.0.0", 65535)),
        ("[::1]:8080", TcpAddress("::1", 8080)),
        ("unix:/run/tollway.sock", UnixAddress("/run/tollway.sock")),
        ("unix:run.sock", UnixAddress("run.sock")),
    ],
)
def test_an_address_survives_being_read_and_written(text: str, address: TcpAddress | UnixAddress) -> None:
    assert parse_address(text) == address
    assert str(address) == text


def test_a_unix_address_may_have_the_slashes_that_grpc_likes() -> None:
    assert parse_address("unix:///run/tollway.sock") == UnixAddress("/run/tollway.sock")


@pytest.mark.parametrize(
    "text", ["", "8080", ":8080", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "::1:8080", "unix:", "a b:1", "unix:\0"]
)
def test_what_is_no_address_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match=r"must be an address such as 127\.0\.0\.1:8080"):
        parse_address(text)


def test_an_ipv6_address_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="IPv6"):
        parse_address("[::1::]:80")


@pytest.mark.parametrize(
    ("text", "loopback"),
    [
        ("127.0.0.1:1", True),
        ("127.9.9.9:1", True),
        ("[::1]:1", True),
        ("localhost:1", True),
        ("unix:/x", True),
        ("0.0.0.0:1", False),
        ("[::]:1", False),
        ("192.168.0.1:1", False),
        ("router:1", False),
    ],
)
def test_only_what_this_machine_alone_can_reach_is_loopback(text: str, loopback: bool) -> None:
    assert parse_address(text).loopback is loopback


@pytest.mark.parametrize(
    "text",
    ["router:50051", "[::1]:50051", "unix:/run/r.sock", "unix:r.sock", "dns:///router:50051", "dns:router:50051",
     "dns://127.0.0.1:53/router:50051", "ipv4:127.0.0.1:50051", "ipv6:[::1]:50051"],
)  # fmt: skip
def test_a_service_may_be_where_grpc_finds_it(text: str) -> None:
    check_target(text)


@pytest.mark.parametrize(
    "text", ["", "router", "dns:///router", "http://router:50051", "router:0", "router:99999", "dns:unix:/run/r.sock"]
)
def test_what_no_service_can_be_at_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match=r"must be an address such as 127\.0\.0\.1:50051, dns:///router:50051"):
        check_target(text)


@pytest.mark.parametrize(
    ("one", "other", "overlapping"),
    [
        ("127.0.0.1:8080", "127.0.0.1:8080", True),
        ("127.0.0.1:8080", "localhost:8080", True),
        ("127.0.0.1:8080", "0.0.0.0:8080", True),
        ("[::]:8080", "192.168.0.1:8080", True),
        ("unix:/run/t.sock", "unix:///run/t.sock", True),
        ("127.0.0.1:8080", "127.0.0.1:8081", False),
        ("127.0.0.1:8080", "127.0.0.2:8080", False),
        ("127.0.0.1:0", "127.0.0.1:0", False),
        ("unix:/run/t.sock", "127.0.0.1:8080", False),
    ],
)
def test_two_cannot_listen_where_addresses_overlap(one: str, other: str, overlapping: bool) -> None:
    assert overlap(one, other) is overlap(other, one) is overlapping
