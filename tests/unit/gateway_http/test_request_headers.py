from __future__ import annotations

import re

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from gateway_http import request_headers as headers
from mesh.errors import TollwayError
from mesh.tracing import TraceContext
from tollway.router.v1.router_pb2 import CacheMode, Preferences

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01"
HERE = TraceContext("1" * 32, "2" * 16, True)


NOW = 1_700_000_000.0


def given(*pairs: tuple[str, str]) -> headers.Headers:
    return CIMultiDictProxy(CIMultiDict(pairs))


@pytest.mark.parametrize("name", ["a", "a" * 128, "2f9c:user@host/1+2=3.4_5-6"])
def test_a_caller_may_name_its_request(name: str) -> None:
    assert headers.request_id(given(("X-Request-Id", name)), NOW) == name


@pytest.mark.parametrize("name", ["", "a" * 129, "a b", "a\tb", "é", "a,b", '"'])
def test_a_name_that_could_not_stand_in_a_log_is_replaced(name: str) -> None:
    assert re.fullmatch(r"req_[0-9a-f]{32}", headers.request_id(given(("x-request-id", name)), NOW))


def test_every_request_without_a_name_gets_its_own() -> None:
    assert headers.request_id(given(), NOW) != headers.request_id(given(), NOW)


def test_the_caller_s_trace_is_joined() -> None:
    place = headers.trace_parent(given(("traceparent", PARENT), ("tracestate", "a=1"), ("tracestate", "b=2")))

    assert place == TraceContext(TRACE, SPAN, True, "a=1,b=2")


@pytest.mark.parametrize("state", ["a=" + "1" * 512, "a=é", "a=\x7f"])
def test_a_trace_state_that_cannot_travel_is_left_behind(state: str) -> None:
    place = headers.trace_parent(given(("traceparent", PARENT), ("tracestate", state)))

    assert place == TraceContext(TRACE, SPAN, True)


def test_without_a_parent_there_is_no_state_either() -> None:
    assert headers.trace_parent(given(("tracestate", "a=1"))) is None
    assert headers.trace_parent(given(("traceparent", "nonsense"), ("tracestate", "a=1"))) is None


def test_a_call_carries_where_it_came_from_and_whose_it_is() -> None:
    place = TraceContext(TRACE, SPAN, True, "a=1")

    assert headers.call_metadata(given(("Authorization", "Bearer sk")), place) == (
        ("traceparent", PARENT),
        ("tracestate", "a=1"),
        ("authorization", "Bearer sk"),
    )


def authorization(*pairs: tuple[str, str]) -> str | None:
    return dict(headers.call_metadata(given(*pairs), HERE)).get("authorization")


@pytest.mark.parametrize("name", ["authorization", "x-api-key", "api-key"])
@pytest.mark.parametrize("value", ["Bearer " + "a" * 4096, "Bearer é", "Bearer \udcff", "Bearer \x01"])
def test_a_key_that_cannot_travel_is_refused(name: str, value: str) -> None:
    with pytest.raises(TollwayError) as raised:
        authorization((name, value))

    assert raised.value.violations[0].field == name
    assert value not in raised.value.message


@pytest.mark.parametrize("name", ["x-api-key", "X-Api-Key", "api-key"])
def test_a_key_is_the_same_wherever_a_client_puts_it(name: str) -> None:
    assert authorization((name, "tw-1")) == "Bearer tw-1"
    assert authorization((name, "tw-1"), ("authorization", "Bearer tw-1")) == "Bearer tw-1"


def test_a_header_with_nothing_in_it_shows_nothing() -> None:
    assert authorization(("authorization", ""), ("x-api-key", ""), ("api-key", "")) is None
    assert authorization(("authorization", ""), ("x-api-key", "tw-1")) == "Bearer tw-1"


@pytest.mark.parametrize(
    "pairs",
    [
        (("authorization", "Bearer a"), ("x-api-key", "b")),
        (("authorization", "Bearer a"), ("Authorization", "Bearer b")),
        (("x-api-key", "a"), ("api-key", "b")),
        (("x-api-key", "a"), ("x-api-key", "b")),
    ],
)
def test_of_two_keys_none_is_chosen(pairs: tuple[tuple[str, str], ...]) -> None:
    assert authorization(*pairs) == "Bearer a, Bearer b"


def test_more_keys_than_can_travel_are_refused() -> None:
    with pytest.raises(TollwayError, match="must be one key"):
        authorization(*(("x-api-key", letter * 2000) for letter in "abc"))


def test_labels_are_names_or_names_with_values() -> None:
    assert headers.tags(given(("x-tollway-tags", "nightly , team:search,v1.2"))) == ["nightly", "team:search", "v1.2"]
    assert headers.tags(given()) == []


@pytest.mark.parametrize("value", ["", "a,,b", "a b", "a:b:c", "a:", "é", "a" * 65, ",".join(["a"] * 17)])
def test_what_is_no_label_is_refused(value: str) -> None:
    with pytest.raises(TollwayError) as raised:
        headers.tags(given(("x-tollway-tags", value)))

    assert raised.value.violations[0].field == "x-tollway-tags"


def test_a_timeout_is_a_duration() -> None:
    assert headers.timeout(given(("x-tollway-timeout", "1500ms"))) == 1.5
    assert headers.timeout(given()) is None


@pytest.mark.parametrize("value", ["5", "soon", "0s", "25h", "9" * 400 + "s", "-1s"])
def test_what_is_no_duration_of_a_request_is_refused(value: str) -> None:
    with pytest.raises(TollwayError) as raised:
        headers.timeout(given(("x-tollway-timeout", value)))

    assert raised.value.violations[0].field == "x-tollway-timeout"


def test_a_session_is_a_short_printable_name() -> None:
    assert headers.session(given()) == ""
    assert headers.session(given(("X-Tollway-Session", "chat 42/a:b"))) == "chat 42/a:b"
    for wrong in ("s" * 129, "a\tb", "é"):
        with pytest.raises(TollwayError) as refused:
            headers.session(given(("x-tollway-session", wrong)))
        assert refused.value.violations[0].field == "x-tollway-session"


@pytest.mark.parametrize(
    ("value", "wanted"), [("1", True), ("true", True), ("True", True), ("0", False), ("false", False)]
)
def test_an_explanation_is_wanted_or_not(value: str, wanted: bool) -> None:
    assert headers.wants_explanation(given(("x-tollway-explain", value))) is wanted


def test_without_a_word_an_answer_is_wanted() -> None:
    assert headers.wants_explanation(given()) is False


@pytest.mark.parametrize("value", ["", "yes", "2"])
def test_any_other_wish_is_refused(value: str) -> None:
    with pytest.raises(TollwayError) as refused:
        headers.wants_explanation(given(("x-tollway-explain", value)))
    assert refused.value.violations[0].field == "x-tollway-explain"


@pytest.mark.parametrize(("value", "wanted"), [("1", True), ("true", True), ("0", False), ("false", False)])
def test_an_answer_may_be_wanted_whole_or_not_at_all(value: str, wanted: bool) -> None:
    assert headers.assured(given(("x-tollway-assured", value))) is wanted


def test_without_a_word_about_it_the_configuration_says_whether_an_answer_is_held_back() -> None:
    assert headers.assured(given()) is None


@pytest.mark.parametrize("value", ["", "yes", "2", "TRUE "])
def test_what_is_neither_yes_nor_no_is_refused(value: str) -> None:
    with pytest.raises(TollwayError) as raised:
        headers.assured(given(("x-tollway-assured", value)))

    assert raised.value.violations[0].field == "x-tollway-assured"


def test_a_request_may_have_a_key_and_say_what_the_cache_may_do() -> None:
    preferences = Preferences()
    headers.note_repetition(given(("Idempotency-Key", "a key of 1 (one)"), ("x-tollway-cache", "use")), preferences)
    assert preferences == Preferences(idempotency_key="a key of 1 (one)", cache=CacheMode.CACHE_MODE_USE)


def test_most_requests_have_neither() -> None:
    preferences = Preferences()
    headers.note_repetition(given(), preferences)
    assert preferences.ByteSize() == 0


@pytest.mark.parametrize("mode", ["use", "bypass", "refresh"])
def test_the_cache_is_told_by_name(mode: str) -> None:
    preferences = Preferences()
    headers.note_repetition(given(("x-tollway-cache", mode)), preferences)
    assert CacheMode.Name(preferences.cache) == f"CACHE_MODE_{mode.upper()}"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("idempotency-key", key) for key in ("", "x" * 256, "schlüssel", "a\x01b", "\udcff")),
        *(("x-tollway-cache", mode) for mode in ("", "off", "Use", "use,refresh")),
    ],
)
def test_what_is_no_key_and_no_way_to_use_the_cache_is_refused(name: str, value: str) -> None:
    with pytest.raises(TollwayError) as raised:
        headers.note_repetition(given((name, value)), Preferences())
    assert raised.value.violations[0].field == name
