"""The page that Prometheus reads."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from mesh.telemetry.exposition import Page
from mesh.telemetry.instruments import INSTRUMENTS
from mesh.telemetry.measurements import Measurements


def samples(page: Page) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    families = text_string_to_metric_families(page.render().decode())
    return {(it.name, frozenset(it.labels.items())): it.value for family in families for it in family.samples}


def test_every_instrument_is_written_as_prometheus_can_read_it() -> None:
    measurements = Measurements()
    for instrument in INSTRUMENTS.values():
        if instrument.kind == "histogram":
            measurements.record(instrument.name, 1, {"a.b": "c"})
        else:
            measurements.count(instrument.name, 1, {"a.b": "c"})
    found = samples(Page(measurements, {}))
    labels = frozenset({("a_b", "c")})
    for instrument in INSTRUMENTS.values():
        name = instrument.name.replace(".", "_") + ("_seconds" if instrument.unit == "s" else "")
        suffix = {"counter": "_total", "histogram": "_count"}.get(instrument.kind, "")
        assert found[name + suffix, labels] == 1


def test_buckets_add_up_to_the_count() -> None:
    measurements = Measurements()
    for seconds in (0.005, 0.3, 0.3, 600):
        measurements.record("gen_ai.client.operation.duration", seconds, {})
    found = samples(Page(measurements, {}))
    name = "gen_ai_client_operation_duration_seconds"
    buckets = {dict(labels)["le"]: value for (each, labels), value in found.items() if each == f"{name}_bucket"}
    assert list(buckets) == [
        "0.01", "0.02", "0.04", "0.08", "0.16", "0.32", "0.64", "1.28", "2.56", "5.12", "10.24", "20.48", "40.96",
        "81.92", "+Inf",
    ]  # fmt: skip
    assert [buckets[bound] for bound in ("0.01", "0.16", "0.32", "81.92", "+Inf")] == [1, 1, 3, 3, 4]
    assert found[f"{name}_count", frozenset()] == 4
    assert found[f"{name}_sum", frozenset()] == 600.605


def test_strange_values_of_labels_survive() -> None:
    measurements = Measurements()
    strange = 'quote " slash \\ line\nbreak é'
    measurements.count("tollway.attempts", 3, {"model": strange, "stream": True, "n": 7})
    labels = frozenset({("model", strange), ("stream", "true"), ("n", "7")})
    assert samples(Page(measurements, {}))["tollway_attempts_total", labels] == 3


def test_the_page_says_who_is_measured_and_what_the_process_takes() -> None:
    found = samples(Page(Measurements(), {"service.name": "tollway", "service.version": "1"}))
    assert found["target_info", frozenset({("service_name", "tollway"), ("service_version", "1")})] == 1
    assert found["process_resident_memory_bytes", frozenset()] > 1e6
    assert found["process_open_fds", frozenset()] > 0


def test_the_page_is_written_anew_each_time() -> None:
    measurements = Measurements()
    page = Page(measurements, {})
    for expected in (1, 2):
        measurements.count("http.server.active_requests", 1, {})
        assert samples(page)["http_server_active_requests", frozenset()] == expected
