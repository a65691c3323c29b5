"""How values are written, and what they come to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from mesh.config.values import (
    Duration,
    HttpUrl,
    LedgerUrl,
    NanoUsd,
    Share,
    Size,
    format_duration,
    format_rate,
    parse_duration,
    parse_rate,
    parse_share,
    parse_size,
)
from mesh.money import MOST_PRICE_NANOS, format_usd
from mesh.state.store import Rate

NANOS = TypeAdapter[int](NanoUsd)
SIZE = TypeAdapter[int](Size)
DURATION = TypeAdapter[float](Duration)
SHARE = TypeAdapter[float](Share)
URL = TypeAdapter[str](HttpUrl)
LEDGER_URL = TypeAdapter[str](LedgerUrl)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("250ms", 0.25), ("10s", 10), ("1.5s", 1.5), ("5m", 300), ("1h", 3600), ("1d", 86400), ("0s", 0), (" 3s ", 3)],
)
def test_a_duration_is_read_as_seconds(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "10", "s", "-1s", "1 s", "1w", "1e3s", "10s5m", 10, 1.5, None, True])
def test_what_is_no_duration_is_refused_with_examples(text: object) -> None:
    with pytest.raises(ValueError, match="must be a duration such as 250ms, 10s or 5m"):
        parse_duration(text)


@given(st.integers(min_value=0, max_value=10_000_000))
def test_a_duration_survives_being_written_and_read(milliseconds: int) -> None:
    assert round(parse_duration(format_duration(milliseconds / 1000)) * 1000, 6) == milliseconds


@pytest.mark.parametrize(("seconds", "text"), [(0.25, "250ms"), (90, "90s"), (120, "2m"), (86400, "1d"), (0, "0ms")])
def test_a_duration_is_written_in_the_largest_unit_that_keeps_it_whole(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
    assert DURATION.dump_python(seconds) == text


@pytest.mark.parametrize(("text", "size"), [("32MiB", 32 * 2**20), ("500kB", 500_000), ("4096", 4096), (7, 7)])
def test_a_size_is_read_as_bytes(text: object, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "MiB", "1.5MiB", "-1", "1 parsec", -1, True, None])
def test_what_is_no_size_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="must be a size such as 32MiB"):
        parse_size(text)


def test_a_size_of_nothing_is_refused() -> None:
    with pytest.raises(ValidationError):
        SIZE.validate_python("0")


@given(st.integers(min_value=0, max_value=MOST_PRICE_NANOS))
def test_an_amount_survives_being_written_and_read(nanos: int) -> None:
    assert NANOS.validate_python("$" + format_usd(nanos)) == nanos
    assert NANOS.validate_python(NANOS.dump_python(nanos)) == nanos


@pytest.mark.parametrize("text", ["", "$", "5€", "-1", "1e3", "1,000", "0.0000000001", None, True, 0.1])
def test_what_is_no_amount_is_refused(text: object) -> None:
    with pytest.raises(ValidationError, match=r"must be an amount such as \$5\.00"):
        NANOS.validate_python(text)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("", ""),
        ("https://api.example.com/v1", "https://api.example.com/v1"),
        ("http://127.0.0.1:9100/v1//", "http://127.0.0.1:9100/v1"),
        ("http://[::1]:9100", "http://[::1]:9100"),
    ],
)
def test_a_url_loses_the_slashes_at_its_end(text: str, url: str) -> None:
    assert URL.validate_python(text) == url


@pytest.mark.parametrize(
    "text",
    ["api.example.com", "ftp://x", "https://", "https://:80", "http://x:99999", "http://x:0", "http://[::g]",
     "http://a b", "http://x\n", "https://é.example", "http://x/?key=1", "http://x/#part"],
)  # fmt: skip
def test_what_is_no_http_url_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="must be a URL"):
        URL.validate_python(text)


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///{data_dir}/ledger.db",
        "sqlite:////var/lib/x.db",
        "postgresql://h/x",
        "postgres://u:p%40@[::1]:5432/ledger?sslmode=require",
    ],
)
def test_a_ledger_is_a_file_or_a_postgresql_database(url: str) -> None:
    assert LEDGER_URL.validate_python(url) == url


@pytest.mark.parametrize(
    "url",
    ["sqlite:///", "sqlite:///{x}/l.db", "mysql://h/x", "postgresql://h", "postgresql://h/", "postgresql:///x",
     "postgresql://h:99999/x", "postgresql://[x/y", "postgresql://h/x y"],
)  # fmt: skip
def test_what_names_no_database_is_no_ledger(url: str) -> None:
    with pytest.raises(ValueError, match="must be a URL such as"):
        LEDGER_URL.validate_python(url)


@pytest.mark.parametrize(
    ("text", "share"), [("5%", 0.05), ("0.05", 0.05), ("12.5 %", 0.125), ("100%", 1), ("0%", 0), (1, 1), (0.5, 0.5)]
)
def test_a_share_is_read_as_a_number_from_0_to_1(text: object, share: float) -> None:
    assert parse_share(text) == pytest.approx(share)


@pytest.mark.parametrize("text", ["", "%", "-5%", "101%", "1.1", "five", "1e-2", True, None])
def test_what_is_no_share_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match=r"must be a share such as 5% or 0\.05, at most 100%"):
        parse_share(text)


@pytest.mark.parametrize(("share", "text"), [(0.05, "5%"), (0.125, "12.5%"), (0, "0%"), (1, "100%")])
def test_a_share_is_written_in_per_cent(share: float, text: str) -> None:
    assert SHARE.dump_python(share) == text


@pytest.mark.parametrize(
    ("text", "rate"),
    [("10/s", Rate(10, 1)), ("600/m", Rate(600, 60)), (" 1000 / h ", Rate(1000, 3600)), ("5000/d", Rate(5000, 86_400))],
)
def test_a_rate_is_a_number_and_a_period(text: str, rate: Rate) -> None:
    assert parse_rate(text) == rate
    assert parse_rate(format_rate(rate)) == rate
