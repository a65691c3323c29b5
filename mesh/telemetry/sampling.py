"""Which traces are recorded."""

from __future__ import annotations

from dataclasses import dataclass

_LIMIT = 2**64


@dataclass(frozen=True, slots=True)
class Sampler:
    """Records that share of traces, chosen by trace id as every OpenTelemetry SDK does, so that services agree.

    With `parent_based`, a span that has a parent does as its parent did.
    """

    ratio: float
    parent_based: bool = True

    def samples(self, trace_id: str, parent_sampled: bool | None) -> bool:
        """Whether to record a span; `parent_sampled` is None for the root of a trace."""
        if self.parent_based and parent_sampled is not None:
            return parent_sampled
        return int(trace_id[16:], 16) < round(self.ratio * _LIMIT)


EVERY_TRACE = Sampler(1.0)


def sampler_named(name: str, argument: str) -> Sampler:
    """The sampler that OTEL_TRACES_SAMPLER and OTEL_TRACES_SAMPLER_ARG name. Raises ValueError for one there is not."""
    kind = name.removeprefix("parentbased_")
    parent_based = kind != name
    if kind == "always_on":
        return Sampler(1.0, parent_based)
    if kind == "always_off":
        return Sampler(0.0, parent_based)
    if kind != "traceidratio":
        raise ValueError(f"OTEL_TRACES_SAMPLER={name} is not supported")
    try:
        ratio = float(argument or "1")
    except ValueError:
        ratio = -1.0
    if not 0 <= ratio <= 1:
        raise ValueError(f"OTEL_TRACES_SAMPLER_ARG={argument} is not a number from 0 to 1")
    return Sampler(ratio, parent_based)
