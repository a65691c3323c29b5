"""What holds for a deployment."""

from __future__ import annotations

from collections.abc import Callable

from mesh.config import inherit
from mesh.config.schema import Config

LoadText = Callable[..., Config]

TEXT = """
models:
  m:
    retries: 1
    timeouts: {gap: 2s, headers: 4s}
    deployments:
      - {provider: sim}
      - {provider: sim, retries: 0, timeouts: {gap: 1s}}
  n: {deployments: [{provider: sim}]}
defaults: {retries: 7, timeouts: {headers: 9s, total: 1m}}
"""


def test_each_limit_comes_from_the_nearest_section_that_names_it(load_text: LoadText) -> None:
    config = load_text(TEXT)
    m, n = config.models["m"], config.models["n"]
    first = inherit.timeouts(config.defaults, m, m.deployments[0])
    assert (first.connect, first.headers, first.first_token, first.gap, first.total) == (3, 4, 30, 2, 60)
    second = inherit.timeouts(config.defaults, m, m.deployments[1])
    assert (second.connect, second.headers, second.first_token, second.gap, second.total) == (3, 4, 30, 1, 60)
    assert inherit.timeouts(config.defaults, n, n.deployments[0]).headers == 9


def test_retries_come_from_the_nearest_section_that_names_them_and_none_is_a_number(load_text: LoadText) -> None:
    config = load_text(TEXT)
    m, n = config.models["m"], config.models["n"]
    assert inherit.retries(config.defaults, m, m.deployments[0]) == 1
    assert inherit.retries(config.defaults, m, m.deployments[1]) == 0
    assert inherit.retries(config.defaults, n, n.deployments[0]) == 7


FAR = """
models:
  m:
    breaker: {failures: 2, rate: 50%}
    continuations: 0
    hedge: {after: 800ms}
    deployments:
      - {provider: sim}
      - {provider: sim, breaker: {open_for: 1s}}
  n: {deployments: [{provider: sim}]}
defaults: {breaker: {failures: 9, window: 10s}, continuations: 5, hedge: {budget: 2%}}
"""


def test_each_key_of_a_breaker_comes_from_the_nearest_section_that_names_it(load_text: LoadText) -> None:
    config = load_text(FAR)
    m, n = config.models["m"], config.models["n"]
    second = inherit.breaker(config.defaults, m, m.deployments[1])
    assert (second.failures, second.rate, second.window, second.open_for, second.probes) == (2, 0.5, 10, 1, 1)
    assert inherit.breaker(config.defaults, m, m.deployments[0]).open_for == 30
    assert inherit.breaker(config.defaults, n, n.deployments[0]).failures == 9


def test_continuations_come_from_the_model_and_none_is_a_number(load_text: LoadText) -> None:
    config = load_text(FAR)
    assert inherit.continuations(config.defaults, config.models["m"]) == 0
    assert inherit.continuations(config.defaults, config.models["n"]) == 5


def test_hedging_is_off_unless_a_section_names_it(load_text: LoadText) -> None:
    config = load_text(FAR)
    first, second = (inherit.hedge(config.defaults, config.models[name]) for name in "mn")
    assert first is not None
    assert second is not None
    assert (first.after, first.budget, second.after, second.budget) == (0.8, 0.02, "p95", 0.02)
    plain = load_text("models: {m: {deployments: [{provider: sim}]}}")
    assert inherit.hedge(plain.defaults, plain.models["m"]) is None
