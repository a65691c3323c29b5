from __future__ import annotations

from uuid import RFC_4122, UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.ids import uuid7, uuid7_time

times = st.integers(0, 2**47).map(lambda milliseconds: milliseconds / 1000)


@given(times)
def test_an_identifier_is_a_version_7_uuid_in_its_usual_form(moment: float) -> None:
    identifier = uuid7(moment)
    parsed = UUID(identifier)
    assert str(parsed) == identifier
    assert parsed.version == 7
    assert parsed.variant == RFC_4122


@given(times)
def test_an_identifier_tells_its_millisecond(moment: float) -> None:
    assert abs(uuid7_time(uuid7(moment)) - moment) < 0.0011


@given(times, st.integers(2, 10**6))
def test_identifiers_sort_by_time(moment: float, later: int) -> None:
    assert uuid7(moment) < uuid7(moment + later / 1000)


def test_identifiers_of_one_moment_differ() -> None:
    assert len({uuid7(1_700_000_000.0) for _ in range(1000)}) == 1000


def test_the_time_of_anything_else_is_refused() -> None:
    with pytest.raises(ValueError, match="is not a UUID version 7"):
        uuid7_time(str(uuid4()))
    with pytest.raises(ValueError):
        uuid7_time("attempt-1")
