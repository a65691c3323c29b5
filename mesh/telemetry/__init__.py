"""Telemetry: where spans, measurements and log lines go. The only room that knows OpenTelemetry.

`configure` decides from the configuration and the standard `OTEL_*` variables what is exported; everybody else sees
`mesh.tracing.Tracer` and `mesh.metrics.Metrics`. Heavy libraries are imported when something needs them.
"""

from mesh.telemetry.telemetry import Telemetry, configure

__all__ = ["Telemetry", "configure"]
