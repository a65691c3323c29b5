from __future__ import annotations

from typing import Any

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from gateway_http.anthropic.headers import read_headers
from mesh.errors import TollwayError

VERSION = ("anthropic-version", "2023-06-01")


def read(*headers: tuple[str, str], **fields: Any) -> dict[str, Any]:
    read_headers(CIMultiDictProxy(CIMultiDict(headers)), fields)
    return fields


def test_betas_are_a_field_of_the_question_each_once() -> None:
    assert read(VERSION, ("anthropic-beta", "a, b"), ("Anthropic-Beta", "b,c,")) == {"anthropic_beta": ["a", "b", "c"]}
    assert read(VERSION) == {}


def test_both_versions_are_spoken() -> None:
    assert read(("anthropic-version", "2026-10-21")) == {}


def test_betas_that_the_question_names_itself_count() -> None:
    assert read(VERSION, ("anthropic-beta", "a"), anthropic_beta=["b"]) == {"anthropic_beta": ["b"]}


@pytest.mark.parametrize(
    ("headers", "field", "problem"),
    [
        ([], "anthropic-version", "must be given, and be one of 2023-06-01, 2026-10-21"),
        ([("anthropic-version", "2023-01-01")], "anthropic-version",
         "must be given, and be one of 2023-06-01, 2026-10-21"),
        ([VERSION, ("anthropic-beta", "ä")], "anthropic-beta",
         "must be at most 64 names of printable ASCII characters"),
        ([VERSION, ("anthropic-beta", ",".join(f"b{i}" for i in range(65)))], "anthropic-beta",
         "must be at most 64 names of printable ASCII characters"),
    ],
)  # fmt: skip
def test_what_cannot_be_accepted_is_named(headers: list[tuple[str, str]], field: str, problem: str) -> None:
    with pytest.raises(TollwayError) as raised:
        read(*headers)

    assert (raised.value.violations[0].field, raised.value.violations[0].description) == (field, problem)
