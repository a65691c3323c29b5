"""Measurements: what is added up, and how many kinds of it there can be."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.metrics import LabelSet, with_label
from mesh.telemetry.instruments import Instrument
from mesh.telemetry.measurements import Distribution, Measurements, Series, Value

INSTRUMENTS = {
    "calls": Instrument("calls", "counter", "1", ""),
    "active": Instrument("active", "updown", "1", ""),
    "level": Instrument("level", "gauge", "1", ""),
    "time": Instrument("time", "histogram", "s", "", (0.1, 1.0)),
}


@pytest.fixture
def measurements() -> Measurements:
    return Measurements(INSTRUMENTS, cap=3)


def series(measurements: Measurements, name: str) -> Sequence[Series]:
    return next((found for instrument, found in measurements.read() if instrument.name == name), [])


def values(measurements: Measurements, name: str) -> list[tuple[dict[str, object], float]]:
    return [(dict(it.labels), it.value) for it in series(measurements, name) if isinstance(it, Value)]


def test_counters_add_up_and_gauges_show_the_last_value(measurements: Measurements) -> None:
    for amount in (1, 2, 3):
        measurements.count("calls", amount, {"a": "x"})
        measurements.gauge("level", amount, {})
    measurements.count("active", 1, {})
    measurements.count("active", -1, {})
    assert values(measurements, "calls") == [({"a": "x"}, 6)]
    assert values(measurements, "level") == [({}, 3)]
    assert values(measurements, "active") == [({}, 0)]


def test_a_histogram_puts_a_value_into_the_bucket_whose_bound_it_does_not_exceed(measurements: Measurements) -> None:
    for value in (0.05, 0.1, 0.11, 1.0, 7.0):
        measurements.record("time", value, {})
    (found,) = series(measurements, "time")
    assert isinstance(found, Distribution)
    assert found.counts == [2, 2, 1]
    assert (found.count, round(found.sum, 9), found.smallest, found.largest) == (5, 8.26, 0.05, 7.0)


def test_labels_in_another_order_are_the_same_labels(measurements: Measurements) -> None:
    measurements.count("calls", 1, {"a": "x", "b": 1})
    measurements.count("calls", 1, {"b": 1, "a": "x"})
    assert values(measurements, "calls") == [({"a": "x", "b": 1}, 2)]


def test_labels_can_be_used_again_after_they_were_changed(measurements: Measurements) -> None:
    labels: dict[str, str | int | bool] = {"a": "x"}
    measurements.count("calls", 1, labels)
    labels["a"] = "y"
    measurements.count("calls", 1, labels)
    assert values(measurements, "calls") == [({"a": "x"}, 1), ({"a": "y"}, 1)]


def test_a_label_set_is_counted_with_labels_that_are_equal(measurements: Measurements) -> None:
    labels = LabelSet({"a": "x"})
    more = with_label(labels, "b", "y")
    for _ in range(2):
        measurements.count("calls", 1, labels)
        measurements.count("calls", 1, more)
    measurements.count("calls", 1, LabelSet({"a": "x"}))
    measurements.count("calls", 1, {"a": "x"})
    measurements.count("calls", 1, {"b": "y", "a": "x"})
    assert values(measurements, "calls") == [({"a": "x"}, 4), ({"a": "x", "b": "y"}, 3)]


def test_an_instrument_that_nobody_used_is_not_told(measurements: Measurements) -> None:
    assert measurements.read() == []


@pytest.mark.parametrize("kind", ["count", "record", "gauge"])
def test_an_instrument_that_was_not_declared_is_an_error(measurements: Measurements, kind: str) -> None:
    with pytest.raises(KeyError, match="nothing"):
        getattr(measurements, kind)("nothing", 1, {})


def test_what_was_read_does_not_change_any_more(measurements: Measurements) -> None:
    measurements.record("time", 1, {})
    measurements.count("calls", 1, {})
    before = measurements.read()
    measurements.record("time", 1, {})
    measurements.count("calls", 1, {})
    assert [(it.count if isinstance(it, Distribution) else it.value) for _, found in before for it in found] == [1, 1]


def test_names_of_models_beyond_the_cap_are_counted_as_other(measurements: Measurements) -> None:
    for number in range(10):
        for _ in range(2):
            measurements.count("calls", 1, {"gen_ai.request.model": f"m{number}", "outcome": "ok"})
    measurements.count("calls", 1, {"gen_ai.request.model": "m1", "outcome": "ok"})
    assert values(measurements, "calls") == [
        ({"gen_ai.request.model": "m0", "outcome": "ok"}, 2),
        ({"gen_ai.request.model": "m1", "outcome": "ok"}, 3),
        ({"gen_ai.request.model": "m2", "outcome": "ok"}, 2),
        ({"gen_ai.request.model": "other", "outcome": "ok"}, 14),
    ]


def test_a_very_long_name_of_a_model_is_counted_as_other(measurements: Measurements) -> None:
    measurements.count("calls", 1, {"model": "x" * 129, "outcome": "y" * 200})
    assert values(measurements, "calls") == [({"model": "other", "outcome": "y" * 200}, 1)]


@given(st.lists(st.tuples(st.text(max_size=3), st.text(max_size=3), st.integers(0, 9)), max_size=60))
def test_whatever_comes_the_sum_is_whole_and_the_series_are_bounded(calls: list[tuple[str, str, int]]) -> None:
    measurements = Measurements(INSTRUMENTS, cap=3)
    for model, closed, amount in calls:
        measurements.count("calls", amount, {"model": model, "closed": closed})
    found = values(measurements, "calls")
    assert sum(value for _, value in found) == sum(amount for _, _, amount in calls)
    assert len(found) <= 2 * 3 + 1


def test_what_is_remembered_of_strange_orders_is_bounded() -> None:
    measurements = Measurements(INSTRUMENTS, cap=1)
    names = [f"n{number}" for number in range(20)]
    for start in range(20):
        measurements.count("calls", 1, dict.fromkeys(names[start:] + names[:start], "v"))
    assert values(measurements, "calls") == [(dict.fromkeys(names, "v"), 20)]
    assert len(measurements._values["calls"]._known) == 4


def test_nothing_is_lost_between_threads(measurements: Measurements) -> None:
    def work() -> None:
        for _ in range(2000):
            measurements.count("calls", 1, {})
            measurements.record("time", 0.5, {})

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (found,) = series(measurements, "time")
    assert values(measurements, "calls") == [({}, 8000)]
    assert isinstance(found, Distribution)
    assert (found.count, found.sum) == (8000, 4000)
