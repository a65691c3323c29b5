"""What is exported, where to and how."""

from __future__ import annotations

import pytest

from mesh.config.schema import Telemetry as Settings
from mesh.telemetry.plan import Exports, Otlp, Plan, make_plan
from mesh.telemetry.sampling import Sampler

NOWHERE = Exports()


def plan(environ: dict[str, str] | None = None, **settings: object) -> Plan:
    return make_plan(Settings.model_validate(settings), "tollway", environ or {})


def otlp(endpoint: str, protocol: str) -> Exports:
    return Exports(Otlp(endpoint, protocol))  # type: ignore[arg-type]  # a table of texts


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317"},
        {"OTEL_SDK_DISABLED": "TRUE", "OTEL_TRACES_EXPORTER": "console"},
        {
            "OTEL_TRACES_EXPORTER": "none",
            "OTEL_METRICS_EXPORTER": "none",
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317",
        },
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "  "},
        {"OTEL_PROPAGATORS": "b3", "OTEL_SERVICE_NAME": "x"},
    ],
)
def test_nothing_is_exported(environ: dict[str, str]) -> None:
    decided = plan(environ)
    assert (decided.traces, decided.metrics, decided.warnings) == (NOWHERE, NOWHERE, [])
    assert not decided.traces


def test_a_disabled_sdk_stops_even_what_the_configuration_names() -> None:
    assert plan({"OTEL_SDK_DISABLED": "true"}, otlp_endpoint="http://c:4317").traces == NOWHERE


@pytest.mark.parametrize(
    ("environ", "traces", "metrics"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317"},
         otlp("http://c:4317", "grpc"), otlp("http://c:4317", "grpc")),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318/"},
         otlp("http://c:4318/v1/traces", "http/protobuf"), otlp("http://c:4318/v1/metrics", "http/protobuf")),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "https://c/otlp"},
         otlp("https://c/otlp/v1/traces", "http/protobuf"), otlp("https://c/otlp/v1/metrics", "http/protobuf")),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"},
         otlp("http://c:4317/v1/traces", "http/protobuf"), otlp("http://c:4317/v1/metrics", "http/protobuf")),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:99", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc"},
         otlp("http://c:99", "grpc"), otlp("http://c:99/v1/metrics", "http/protobuf")),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:9/here"}, otlp("http://c:9/here", "http/protobuf"), NOWHERE),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://c:9/m"}, NOWHERE, otlp("http://c:9/m", "http/protobuf")),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317", "OTEL_METRICS_EXPORTER": "none"},
         otlp("http://c:4317", "grpc"), NOWHERE),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, otlp("http://localhost:4318/v1/traces", "http/protobuf"), NOWHERE),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
         otlp("http://localhost:4317", "grpc"), NOWHERE),
        ({"OTEL_TRACES_EXPORTER": "console", "OTEL_METRICS_EXPORTER": "prometheus"}, Exports(console=True), NOWHERE),
        ({"OTEL_TRACES_EXPORTER": "console, otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317",
          "OTEL_METRICS_EXPORTER": "console"},
         Exports(Otlp("http://c:4317", "grpc"), console=True), Exports(console=True)),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://[bad"},
         otlp("http://[bad/v1/traces", "http/protobuf"), otlp("http://[bad/v1/metrics", "http/protobuf")),
    ],
)  # fmt: skip
def test_the_standard_variables_say_where_to(environ: dict[str, str], traces: Exports, metrics: Exports) -> None:
    decided = plan(environ)
    assert (decided.traces, decided.metrics, decided.warnings) == (traces, metrics, [])


def test_the_configured_endpoint_stands_before_the_variables() -> None:
    decided = plan(
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://other:4317", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://third/x"},
        otlp_endpoint="http://mine:4318",
    )
    assert decided.traces == otlp("http://mine:4318/v1/traces", "http/protobuf")
    assert decided.metrics == otlp("http://mine:4318/v1/metrics", "http/protobuf")


@pytest.mark.parametrize(
    ("environ", "warning"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"},
         "OTEL_TRACES_EXPORTER=zipkin is not supported and left out; there are console, none, otlp"),
        ({"OTEL_METRICS_EXPORTER": "statsd"},
         "OTEL_METRICS_EXPORTER=statsd is not supported and left out; there are console, none, otlp, prometheus"),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"},
         "OTLP over http/json is not supported; traces go over http/protobuf"),
        ({"OTEL_TRACES_SAMPLER": "jaeger_remote"},
         "OTEL_TRACES_SAMPLER=jaeger_remote is not supported; every trace is recorded"),
        ({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "2"},
         "OTEL_TRACES_SAMPLER_ARG=2 is not a number from 0 to 1; every trace is recorded"),
        ({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "half"},
         "OTEL_TRACES_SAMPLER_ARG=half is not a number from 0 to 1; every trace is recorded"),
        ({"OTEL_METRIC_EXPORT_INTERVAL": "soon"},
         "OTEL_METRIC_EXPORT_INTERVAL=soon is not a number of milliseconds; 60000 is used"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "a=1,b"},
         "OTEL_RESOURCE_ATTRIBUTES has an entry that is not name=value; it is left out"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_left_out_with_a_warning(environ: dict[str, str], warning: str) -> None:
    decided = plan(environ)
    assert decided.warnings == [warning]
    assert decided.sampler == Sampler(1.0)
    assert decided.metric_interval == 60


@pytest.mark.parametrize(
    ("environ", "settings", "sampler"),
    [
        ({}, {}, Sampler(1.0)),
        ({"OTEL_TRACES_SAMPLER": "always_off"}, {}, Sampler(0.0, parent_based=False)),
        ({"OTEL_TRACES_SAMPLER": "always_on"}, {}, Sampler(1.0, parent_based=False)),
        ({"OTEL_TRACES_SAMPLER": "parentbased_always_off"}, {}, Sampler(0.0)),
        ({"OTEL_TRACES_SAMPLER": "traceidratio"}, {}, Sampler(1.0, parent_based=False)),
        ({"OTEL_TRACES_SAMPLER": "ParentBased_TraceIdRatio", "OTEL_TRACES_SAMPLER_ARG": "0.25"}, {}, Sampler(0.25)),
        ({"OTEL_TRACES_SAMPLER": "always_off"}, {"sample": 0.5}, Sampler(0.5)),
        ({"OTEL_TRACES_SAMPLER": "always_off"}, {"sample": 1}, Sampler(1.0)),
    ],
)
def test_the_sampler_is_the_configured_one_else_the_variables(
    environ: dict[str, str], settings: dict[str, object], sampler: Sampler
) -> None:
    assert plan(environ, **settings).sampler == sampler


@pytest.mark.parametrize(
    ("environ", "resource"),
    [
        ({}, {"service.name": "tollway"}),
        ({"OTEL_SERVICE_NAME": "edge"}, {"service.name": "edge"}),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=a, team=x%20y,,"}, {"service.name": "a", "team": "x y"}),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=a", "OTEL_SERVICE_NAME": "b"}, {"service.name": "b"}),
    ],
)
def test_the_resource_says_who_exports(environ: dict[str, str], resource: dict[str, str]) -> None:
    assert plan(environ).resource == resource


def test_measurements_are_sent_as_often_as_the_variable_says() -> None:
    assert plan({"OTEL_METRIC_EXPORT_INTERVAL": "1500"}).metric_interval == 1.5
