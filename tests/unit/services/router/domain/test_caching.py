from __future__ import annotations

import pytest

from services.router.domain.caching import Ttls, Use, scope_of
from services.router.domain.principal import LOCAL, Principal
from tollway.router.v1.router_pb2 import CacheMode

TTLS = Ttls({"gpt": 60.0, "gpt-*": None, "*": 5.0}, default=600.0)


@pytest.mark.parametrize(
    ("model", "mode", "use"),
    [
        ("gpt", "UNSPECIFIED", Use(True, 60.0)),
        ("gpt", "USE", Use(True, 60.0)),
        ("gpt", "REFRESH", Use(False, 60.0)),
        ("gpt", "BYPASS", None),
        ("gpt-4o", "UNSPECIFIED", None),
        ("gpt-4o", "USE", Use(True, 600.0)),
        ("gpt-4o", "REFRESH", Use(False, 600.0)),
        ("gpt-4o", "BYPASS", None),
        ("other", "UNSPECIFIED", Use(True, 5.0)),
    ],
)
def test_the_cache_is_used_where_the_model_or_the_request_wants_it(model: str, mode: str, use: Use | None) -> None:
    assert TTLS.use(model, CacheMode.Value(f"CACHE_MODE_{mode}")) == use


@pytest.mark.parametrize(
    ("model", "mode", "use"),
    [
        ("gpt", "UNSPECIFIED", Use(True, 30.0)),
        ("gpt-4o", "UNSPECIFIED", Use(True, 30.0)),
        ("nope", "UNSPECIFIED", Use(True, 30.0)),
        ("gpt", "USE", Use(True, 30.0)),
        ("gpt-4o", "REFRESH", Use(False, 30.0)),
        ("gpt", "BYPASS", None),
    ],
)
def test_a_key_s_own_time_stands_before_its_model_s_and_a_request_may_still_pass_by(
    model: str, mode: str, use: Use | None
) -> None:
    assert TTLS.use(model, CacheMode.Value(f"CACHE_MODE_{mode}"), of_key=30.0) == use


def test_a_name_that_is_no_model_is_nobody_s_business_here() -> None:
    assert Ttls({"gpt": 60.0}, 600.0).use("nope", CacheMode.CACHE_MODE_UNSPECIFIED) is None
    assert not Ttls({"gpt": None}, 600.0).any


def test_answers_are_shared_within_a_project_by_those_who_may_ask_the_same() -> None:
    ci = Principal("t", "p", "ci", tags=("a",))
    assert scope_of(ci) == scope_of(Principal("t", "p", "other", tags=("b",)))
    others = [Principal("u", "p", "ci"), Principal("t", "q", "ci"), Principal("t", "p", "ci", models=("gpt",)), LOCAL]
    assert len({scope_of(each) for each in (ci, *others)}) == 5
