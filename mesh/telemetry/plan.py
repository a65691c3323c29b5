"""What is exported, where to and how: decided from the configuration and the standard variables, with no I/O.

`telemetry.otlp_endpoint` stands before the variables that name an endpoint, and `telemetry.sample` before those that
name a sampler; OTEL_TRACES_EXPORTER and OTEL_METRICS_EXPORTER say whether there is anything to send at all, and
OTEL_SDK_DISABLED stops everything. What a variable says that cannot be done is left out and told as a warning, as
the specification wants it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import unquote, urlsplit

from mesh.config.schema import Telemetry as Settings
from mesh.telemetry.sampling import EVERY_TRACE, Sampler, sampler_named

Signal = Literal["traces", "metrics"]
Protocol = Literal["grpc", "http/protobuf"]


@dataclass(frozen=True, slots=True)
class Otlp:
    """A collector, and how it is spoken to. The endpoint is complete, the signal's path included."""

    endpoint: str
    protocol: Protocol


@dataclass(frozen=True, slots=True)
class Exports:
    """Where one signal goes."""

    otlp: Otlp | None = None
    console: bool = False

    def __bool__(self) -> bool:
        return self.otlp is not None or self.console


@dataclass(frozen=True, slots=True)
class Plan:
    """What telemetry does in this process. `metric_interval` is in seconds."""

    resource: Mapping[str, str]
    traces: Exports = Exports()
    metrics: Exports = Exports()
    sampler: Sampler = EVERY_TRACE
    metric_interval: float = 60.0
    warnings: list[str] = field(default_factory=list)


def make_plan(settings: Settings, service_name: str, environ: Mapping[str, str]) -> Plan:
    """The plan for a service. An empty variable counts as not set."""
    variables = {name: value.strip() for name, value in environ.items() if name.startswith("OTEL_") and value.strip()}
    warnings: list[str] = []
    resource = _resource(service_name, variables, warnings)
    if variables.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return Plan(resource, warnings=warnings)
    return Plan(
        resource,
        _exports("traces", settings, variables, warnings),
        _exports("metrics", settings, variables, warnings),
        _sampler(settings, variables, warnings),
        _interval(variables, warnings),
        warnings,
    )


def _exports(signal: Signal, settings: Settings, variables: Mapping[str, str], warnings: list[str]) -> Exports:
    endpoint = _endpoint(signal, settings, variables)
    chosen = f"OTEL_{signal.upper()}_EXPORTER"
    known = {"otlp", "console", "none"} | ({"prometheus"} if signal == "metrics" else set())
    names = {name.strip() for name in variables.get(chosen, "otlp" if endpoint else "none").split(",")}
    warnings.extend(
        f"{chosen}={name} is not supported and left out; there are {', '.join(sorted(known))}"
        for name in sorted(names - known)
    )
    otlp = None
    if "otlp" in names:
        protocol = _protocol(signal, endpoint, variables, warnings)
        otlp = Otlp(endpoint or _default_endpoint(signal, protocol), protocol)
        if protocol == "http/protobuf" and endpoint and not _names_signal(signal, settings, variables):
            otlp = Otlp(f"{endpoint.rstrip('/')}/v1/{signal}", protocol)
    return Exports(otlp, "console" in names)


def _endpoint(signal: Signal, settings: Settings, variables: Mapping[str, str]) -> str:
    own = variables.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT")
    return settings.otlp_endpoint or own or variables.get("OTEL_EXPORTER_OTLP_ENDPOINT", "")


def _names_signal(signal: Signal, settings: Settings, variables: Mapping[str, str]) -> bool:
    """Whether the endpoint is the signal's own, which is taken as it is; to the one for all, a path is added."""
    return not settings.otlp_endpoint and f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT" in variables


def _default_endpoint(signal: Signal, protocol: Protocol) -> str:
    return "http://localhost:4317" if protocol == "grpc" else f"http://localhost:4318/v1/{signal}"


def _protocol(signal: Signal, endpoint: str, variables: Mapping[str, str], warnings: list[str]) -> Protocol:
    general = variables.get("OTEL_EXPORTER_OTLP_PROTOCOL", "")
    named = variables.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_PROTOCOL", general)
    if named == "grpc":
        return "grpc"
    if named not in ("", "http/protobuf"):
        warnings.append(f"OTLP over {named} is not supported; {signal} go over http/protobuf")
    # Collectors listen on 4317 for gRPC and 4318 for HTTP, and the wrong one fails in a way that is hard to read.
    return "grpc" if not named and _port(endpoint) == 4317 else "http/protobuf"


def _port(endpoint: str) -> int | None:
    try:
        return urlsplit(endpoint).port
    except ValueError:
        return None


def _sampler(settings: Settings, variables: Mapping[str, str], warnings: list[str]) -> Sampler:
    if "sample" in settings.model_fields_set:
        return Sampler(settings.sample)
    try:
        name = variables.get("OTEL_TRACES_SAMPLER", "parentbased_always_on").lower()
        return sampler_named(name, variables.get("OTEL_TRACES_SAMPLER_ARG", ""))
    except ValueError as error:
        warnings.append(f"{error}; every trace is recorded")
        return EVERY_TRACE


def _interval(variables: Mapping[str, str], warnings: list[str]) -> float:
    text = variables.get("OTEL_METRIC_EXPORT_INTERVAL", "60000")
    if text.isdecimal() and int(text) > 0:
        return int(text) / 1000
    warnings.append(f"OTEL_METRIC_EXPORT_INTERVAL={text} is not a number of milliseconds; 60000 is used")
    return 60.0


def _resource(service_name: str, variables: Mapping[str, str], warnings: list[str]) -> dict[str, str]:
    attributes = {"service.name": service_name}
    for pair in variables.get("OTEL_RESOURCE_ATTRIBUTES", "").split(","):
        name, equals, value = pair.partition("=")
        if equals and name.strip():
            attributes[name.strip()] = unquote(value.strip())
        elif pair.strip():
            warnings.append("OTEL_RESOURCE_ATTRIBUTES has an entry that is not name=value; it is left out")
    if "OTEL_SERVICE_NAME" in variables:
        attributes["service.name"] = variables["OTEL_SERVICE_NAME"]
    return attributes
