"""The notations of configuration values: `250ms`, `32MiB`, `$5.00`. Each parses to a plain number.

What is raised says what is wanted and never repeats the value: only the loader knows whether it may be shown.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer

from mesh.config.addresses import parse_address, parse_http_url
from mesh.money import MOST_COST_NANOS, MOST_PRICE_NANOS, NANOS_PER_USD, format_usd, parse_usd
from mesh.prices import format_percent
from mesh.state.store import Rate

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "kB": 10**3, "MB": 10**6, "GB": 10**9}


def parse_duration(text: object) -> float:
    """Seconds of a duration such as `250ms`, `10s`, `5m` or `1h`. Raises ValueError for anything else."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", text.strip()) if isinstance(text, str) else None
    if match is None:
        raise ValueError("must be a duration such as 250ms, 10s or 5m")
    return float(match[1]) * _SECONDS[match[2]]


_LONGEST_DURATION = 3650 * 86_400.0


def parse_setting(text: object) -> float:
    """Seconds of a duration that a setting can have. Raises ValueError for anything else."""
    seconds = parse_duration(text)
    if seconds > _LONGEST_DURATION:
        raise ValueError("must be at most 3650d")
    return seconds


def parse_size(text: object) -> int:
    """Bytes of a size such as `32MiB` or `4096`. Raises ValueError for anything else."""
    if isinstance(text, int) and not isinstance(text, bool) and text >= 0:
        return text
    match = re.fullmatch(r"(\d+)\s*(B|KiB|MiB|GiB|kB|MB|GB)?", text.strip()) if isinstance(text, str) else None
    if match is None:
        raise ValueError("must be a size such as 32MiB")
    return int(match[1]) * _BYTES[match[2] or "B"]


def _check_size(size: int) -> int:
    if size > 2**40:
        raise ValueError("must be at most 1024GiB")
    return size


def parse_share(text: object) -> float:
    """A share such as `5%` or `0.05` as a number from 0 to 1. Raises ValueError for anything else."""
    written = str(text).strip() if isinstance(text, (str, int, float)) and not isinstance(text, bool) else ""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(\s*%)?", written)
    share = float(match[1]) / (100 if match[2] else 1) if match else -1.0
    if not 0 <= share <= 1:
        raise ValueError("must be a share such as 5% or 0.05, at most 100%")
    return share


def _parse_money(text: object) -> int:
    # A bare number is still text on its way here (the loader keeps scalars as written), so no float is ever rounded.
    if isinstance(text, bool) or not isinstance(text, (str, int)):
        raise ValueError("must be an amount such as $5.00")
    try:
        return parse_usd(str(text))
    except ValueError:
        raise ValueError("must be an amount such as $5.00, with at most nine decimal places") from None


def _check_positive(nanos: int) -> int:
    if not 0 < nanos <= MOST_COST_NANOS:
        raise ValueError(f"must be more than $0, and at most ${MOST_COST_NANOS // NANOS_PER_USD}")
    return nanos


def _check_price(nanos: int) -> int:
    if nanos > MOST_PRICE_NANOS:
        raise ValueError(f"must be at most ${MOST_PRICE_NANOS // NANOS_PER_USD}")
    return nanos


def _parse_percent(text: object) -> int:
    # Exactly, in millionths: what a price is multiplied with is no float.
    match = re.fullmatch(r"([+-]?)(\d{1,6})(?:\.(\d{1,4}))?\s*%", text.strip()) if isinstance(text, str) else None
    if match is None:
        if isinstance(text, int) and not isinstance(text, bool):
            return text  # from code
        raise ValueError("must be a percentage such as 10%, with at most four decimal places")
    ppm = int(f"{match[2]}{(match[3] or '').ljust(4, '0')}")
    return -ppm if match[1] == "-" else ppm


def _check_markup(ppm: int) -> int:
    if not -1_000_000 <= ppm <= 10_000_000:
        raise ValueError("must be between -100% and 1000%")
    return ppm


def _check_multiplier(ppm: int) -> int:
    if not 1 <= ppm <= 100_000_000:
        raise ValueError("must be more than 0%, and at most 10000%")
    return ppm


_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def parse_days(value: object) -> frozenset[int]:
    """Days of the week, Monday being 0, of a list such as `[mon-fri, sun]`. Raises ValueError for anything else."""
    if isinstance(value, frozenset):
        return value
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, (list, tuple)) or not listed:
        raise ValueError("must be a list of days such as [mon-fri, sun]")
    days: set[int] = set()
    for each in listed:
        first, dash, last = each.strip().lower().partition("-") if isinstance(each, str) else ("", "", "")
        if first not in _DAYS or (dash and last not in _DAYS):
            raise ValueError(f"must be a list of days such as [mon-fri, sun], of {', '.join(_DAYS)}")
        start = _DAYS.index(first)
        count = (_DAYS.index(last) - start) % 7 + 1 if dash else 1
        days.update((start + step) % 7 for step in range(count))
    return frozenset(days)


def format_days(days: frozenset[int]) -> list[str]:
    return [_DAYS[day] for day in sorted(days)]


def parse_time_of_day(value: object) -> int:
    """Minutes since midnight of a time such as `08:00` or `24:00`. Raises ValueError for anything else."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    match = re.fullmatch(r"([01]?\d|2[0-4]):([0-5]\d)", value.strip()) if isinstance(value, str) else None
    minutes = int(match[1]) * 60 + int(match[2]) if match else -1
    if not 0 <= minutes <= 24 * 60:
        raise ValueError('must be a time of the day such as "08:00", in quotes')
    return minutes


def format_time_of_day(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


def _check_zone(name: str) -> str:
    # Imported late: only who has rules about hours needs the zones.
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        near = get_close_matches(name, available_timezones(), n=1)
        raise ValueError(
            f"no time zone is called {name}; did you mean {near[0]}?"
            if near
            else "must be a time zone such as Europe/Zurich"
        ) from None
    return name


def format_duration(seconds: float) -> str:
    """The duration in the largest unit that keeps it whole."""
    for unit in ("d", "h", "m", "s"):
        if seconds and seconds % _SECONDS[unit] == 0:
            return f"{int(seconds // _SECONDS[unit])}{unit}"
    return f"{seconds * 1000:.6f}".rstrip("0").rstrip(".") + "ms"


def format_share(share: float) -> str:
    """The share in per cent."""
    return f"{share * 100:.6f}".rstrip("0").rstrip(".") + "%"


_PERIODS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_HIGHEST_RATE = 10**12


def parse_rate(text: object) -> Rate:
    """The rate of a text such as `600/m`. Raises ValueError for anything else."""
    match = re.fullmatch(r"(\d+)\s*/\s*([smhd])", text.strip()) if isinstance(text, str) else None
    if match is None:
        raise ValueError("must be a rate such as 10/s, 600/m, 1000/h or 5000/d")
    if not 1 <= int(match[1]) <= _HIGHEST_RATE:
        raise ValueError(f"must be a rate from 1 to {_HIGHEST_RATE}")
    return Rate(int(match[1]), _PERIODS[match[2]])


def format_rate(rate: Rate) -> str:
    """The rate as it is written."""
    return f"{rate.limit}/{next(unit for unit, period in _PERIODS.items() if period == rate.period)}"


_WINDOWS = ("day", "week", "month", "total")
_SHORTEST_WINDOW = 60.0


def parse_budget_window(value: object) -> str | float:
    """`day`, `week`, `month`, `total`, or the whole seconds of a duration such as `6h`. Raises ValueError."""
    if value in _WINDOWS:
        return str(value)
    try:
        seconds = parse_duration(value)
    except ValueError:
        raise ValueError(f"must be one of {', '.join(_WINDOWS)}, or a duration such as 6h") from None
    if not _SHORTEST_WINDOW <= seconds <= _LONGEST_DURATION or seconds % 1:
        raise ValueError("must be a duration of whole seconds, from 1m to 3650d")
    return seconds


_HIGHEST_THRESHOLD, _MOST_THRESHOLDS = 1000, 16


def parse_thresholds(value: object) -> tuple[int, ...]:
    """Percentages, rising, of a list such as `[50, 80, 100]`. Raises ValueError for anything else."""
    listed = value if isinstance(value, (list, tuple)) else [value]
    written = [re.fullmatch(r"(\d{1,4})\s*%?", str(each).strip()) for each in listed]
    percents = sorted({int(match[1]) for match in written if match})
    whole = len(percents) == len(listed) <= _MOST_THRESHOLDS
    if not whole or (percents and not 1 <= percents[0] <= percents[-1] <= _HIGHEST_THRESHOLD):
        raise ValueError(
            f"must be at most {_MOST_THRESHOLDS} different percentages from 1 to 1000, as in [50, 80, 100]"
        )
    return tuple(percents)


SCOPES = ("tenant", "project", "key", "tag", "model")
"""What can be limited, or given a budget: each with a name, or `*` for every one on its own."""

_LONGEST_SCOPE = 256


def _check_scope(text: str) -> str:
    kind, _, name = text.strip().partition(":")
    if kind not in SCOPES or not name:
        raise ValueError(f"must be a scope such as key:ci or key:*, of {', '.join(SCOPES)}")
    if name != name.strip() or not name.isprintable() or len(name) > _LONGEST_SCOPE:
        raise ValueError("must have a name without surrounding white space or control characters")
    if "*" in name and name != "*":
        raise ValueError("must have a name, or a * alone for every one on its own")
    return f"{kind}:{name}"


def _check_address(text: str) -> str:
    parse_address(text)
    return text


def _check_url(text: str) -> str:
    return parse_http_url(text) if text else ""


def _check_header_value(value: str) -> str:
    if any(ord(character) < 0x20 or ord(character) > 0x7E for character in value):
        raise ValueError("must be a header value: printable ASCII, on one line")
    return value.strip()


def parse_moment(text: object) -> float:
    """Unix seconds of a time such as `2027-01-31` (its midnight) or `2027-01-31T18:00Z`, UTC where no zone is given.

    Raises ValueError for anything else.
    """
    try:
        moment = datetime.fromisoformat(text.strip()) if isinstance(text, str) else None
    except ValueError:
        moment = None
    if moment is None:
        raise ValueError("must be a time such as 2027-01-31 or 2027-01-31T18:00Z")
    return (moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment).timestamp()


def format_moment(seconds: float) -> str:
    """The time as `2027-01-31T18:00:00Z`."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _check_host_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?", name):
        raise ValueError("must be the name of a host such as gateway.example.com, without a port")
    return name.lower()


def _check_ledger_url(url: str) -> str:
    if re.fullmatch(r"postgres(?:ql)?://\S+", url) and _names_a_database(url):
        return url
    if not re.fullmatch(r"sqlite:///[^{}]*(\{data_dir\}[^{}]*)?", url) or url == "sqlite:///":
        raise ValueError(
            "must be a URL such as sqlite:///{data_dir}/ledger.db, with no placeholder but {data_dir}, "
            "or postgresql://user:password@host:5432/database"
        )
    return url


def _names_a_database(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0 and len(parts.path) > 1
    except ValueError:  # an IPv6 host that is none, or a port beyond 65535
        return False


def _check_retention(seconds: float) -> float:
    if seconds < _SECONDS["d"]:
        raise ValueError("must be at least 1d: what is younger may still be on its way")
    return seconds


def _check_state_url(url: str) -> str:
    if url == "memory://" or (url.startswith("sqlite:///") and _check_ledger_url(url)):
        return url
    problem = "must be memory://, a file such as sqlite:///{data_dir}/state.db, or redis://host:6379/0"
    if not re.fullmatch(r"(rediss?|unix)://[\x21-\x7e]+", url):
        raise ValueError(problem)
    try:
        usable = urlsplit(url).port != 0
    except ValueError:  # a port that is no number, or brackets that do not close
        raise ValueError(problem) from None
    if not usable:
        raise ValueError(problem)
    return url


Duration = Annotated[float, BeforeValidator(parse_setting), PlainSerializer(format_duration)]
"""Seconds."""

PositiveDuration = Annotated[float, Field(gt=0), BeforeValidator(parse_setting), PlainSerializer(format_duration)]
"""Seconds, where none at all would make no sense."""

Share = Annotated[float, BeforeValidator(parse_share), PlainSerializer(format_share)]
"""A number from 0 to 1."""

Size = Annotated[int, Field(gt=0), BeforeValidator(parse_size), AfterValidator(_check_size)]
"""Bytes."""

Repetitions = Annotated[int, Field(ge=0, le=100)]
"""How often something is done again for one question."""

Quantity = Annotated[int, Field(ge=1, le=10**9)]
"""How many of what there is at least one of."""

NanoUsd = Annotated[
    int,
    BeforeValidator(_parse_money),
    AfterValidator(_check_price),
    PlainSerializer(lambda nanos: "$" + format_usd(nanos)),
]
"""Nano-USD that something is priced at."""

PositiveNanoUsd = Annotated[
    int,
    BeforeValidator(_parse_money),
    AfterValidator(_check_positive),
    PlainSerializer(lambda nanos: "$" + format_usd(nanos)),
]
"""Nano-USD, where nothing at all would make no sense."""

BudgetWindow = Annotated[
    str | float,
    BeforeValidator(parse_budget_window),
    PlainSerializer(lambda window: window if isinstance(window, str) else format_duration(window)),
]
"""`day`, `week`, `month`, `total`, or seconds."""

Thresholds = Annotated[tuple[int, ...], BeforeValidator(parse_thresholds)]
"""Percentages, rising."""

MarkupPpm = Annotated[
    int, BeforeValidator(_parse_percent), AfterValidator(_check_markup), PlainSerializer(format_percent)
]
"""Millionths; negative: a discount."""

MultiplierPpm = Annotated[
    int, BeforeValidator(_parse_percent), AfterValidator(_check_multiplier), PlainSerializer(format_percent)
]
"""Millionths of what something costs otherwise."""

Days = Annotated[frozenset[int], BeforeValidator(parse_days), PlainSerializer(format_days)]
"""Days of the week; Monday is 0."""

TimeOfDay = Annotated[int, BeforeValidator(parse_time_of_day), PlainSerializer(format_time_of_day)]
"""Minutes since midnight."""

Zone = Annotated[str, AfterValidator(_check_zone)]
"""The name of a time zone."""
LimitRate = Annotated[Rate, BeforeValidator(parse_rate), PlainSerializer(format_rate)]
"""So many in a period, which they may come in all at once: `600/m`."""

Scope = Annotated[str, AfterValidator(_check_scope)]
"""Whose it is: `key:ci`, or `key:*`."""

Address = Annotated[str, AfterValidator(_check_address)]
"""Where to listen: `host:port`, `[::1]:port` or `unix:/path`."""

HttpUrl = Annotated[str, AfterValidator(_check_url)]
"""An http or https URL without a slash at its end; may be empty."""

HeaderValue = Annotated[str, AfterValidator(_check_header_value)]

Retention = Annotated[
    float, BeforeValidator(parse_setting), AfterValidator(_check_retention), PlainSerializer(format_duration)
]
"""Seconds, of a day at least."""

Moment = Annotated[float, BeforeValidator(parse_moment), PlainSerializer(format_moment)]
"""Unix seconds."""

HostName = Annotated[str, AfterValidator(_check_host_name)]
"""The name of a host, in small letters."""

LedgerUrl = Annotated[str, AfterValidator(_check_ledger_url)]

StateUrl = Annotated[str, AfterValidator(_check_state_url)]
