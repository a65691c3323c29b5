"""What is said about values that are wrong: all of it, in our words, with its place and without secrets."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import pytest
from pydantic_core.core_schema import ErrorType

from mesh.config.schema import Config
from mesh.config.wording import _BY_TYPE

LoadText = Callable[..., Config]
Complaints = Callable[..., list[str]]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("htpp: {}", "htpp (tollway.yaml:1): unknown key; did you mean http?"),
        (
            "xyz: {}",
            "xyz (tollway.yaml:1): unknown key; there are providers, models, defaults, prices, budgets, limits, rules, "
            "keys, ledger, journal, state, idempotency, cache, telemetry, http, grpc",
        ),
        ("providers:\n\n  a: {api_kee: x}", "providers.a.api_kee (tollway.yaml:3): unknown key; did you mean api_key?"),
        ("grpc: {tls: {key: k}}", "grpc.tls.cert (tollway.yaml:1): must be given"),
        ("models:\n  m:\n", "models.m.deployments (tollway.yaml:2): must be given"),
        ("models: {m: {deployments: []}}", "models.m.deployments (tollway.yaml:1): must have at least one entry"),
        ("models: {m: {deployments: {}}}", "models.m.deployments (tollway.yaml:1): must be a list"),
        ("models: {m: {deployments: [[]]}}",
         "models.m.deployments[0] (tollway.yaml:1): must be a mapping of keys to values"),
        ("models: {m: {deployments: [{provider: sim}], cache: often}}",
         "models.m.cache.ttl (tollway.yaml:1): must be a duration such as 250ms, 10s or 5m"),
        ("models: {m: {deployments: [{provider: sim}], cache: {ttl: 0s}}}",
         "models.m.cache.ttl (tollway.yaml:1): must be more than 0, not 0s"),
        ("models: {m: {deployments: [{provider: sim}], cache: {}}}",
         "models.m.cache.ttl (tollway.yaml:1): must be given"),
        ("models: {m: {deployments: [{provider: sim}], cache: [1m]}}",
         "models.m.cache (tollway.yaml:1): must be a mapping of keys to values"),
        ("cache: {max_entry: 2MiB, max_bytes: 1MiB}",
         "cache (tollway.yaml:1): max_entry must be at most max_bytes: such an answer would never be kept"),
        ("idempotency: {keep: 0s}", "idempotency.keep (tollway.yaml:1): must be more than 0, not 0s"),
        ("idempotency: {max_answer: 1GiB}",
         "idempotency (tollway.yaml:1): max_answer must be at most max_bytes: such an answer would never be kept"),
        ("models: []", "models (tollway.yaml:1): must be a mapping of names to values"),
        ("http: 5", "http (tollway.yaml:1): must be a mapping of keys to values, not 5"),
        ("http: {listen: [a]}", "http.listen (tollway.yaml:1): must be text"),
        ("http: {max_messages: many}", "http.max_messages (tollway.yaml:1): must be a whole number, not many"),
        ("http: {max_messages: 2.5}", "http.max_messages (tollway.yaml:1): must be a whole number, not 2.5"),
        ("http: {max_messages: {}}", "http.max_messages (tollway.yaml:1): must be a whole number"),
        ("http: {max_messages: 0}", "http.max_messages (tollway.yaml:1): must be at least 1, not 0"),
        ("http: {max_body: 0}", "http.max_body (tollway.yaml:1): must be more than 0, not 0"),
        ("http: {max_body: big}", "http.max_body (tollway.yaml:1): must be a size such as 32MiB, not big"),
        ("http: {drain: 5}", "http.drain (tollway.yaml:1): must be a duration such as 250ms, 10s or 5m, not 5"),
        ("http: {body_timeout: 0s}", "http.body_timeout (tollway.yaml:1): must be more than 0, not 0s"),
        ("telemetry: {sample: 2}", "telemetry.sample (tollway.yaml:1): must be at most 1, not 2"),
        ("telemetry: {sample: most}", "telemetry.sample (tollway.yaml:1): must be a number, not most"),
        ("telemetry: {sample: []}", "telemetry.sample (tollway.yaml:1): must be a number"),
        ("telemetry: {sample: nan}", "telemetry.sample (tollway.yaml:1): must be a finite number, not nan"),
        ("telemetry: {content: maybe}", "telemetry.content (tollway.yaml:1): must be true or false, not maybe"),
        ("telemetry: {content: []}", "telemetry.content (tollway.yaml:1): must be true or false"),
        (
            "telemetry: {log_level: loud}",
            "telemetry.log_level (tollway.yaml:1): must be 'debug', 'info', 'warning' or 'error', not loud",
        ),
        ("models: {m: {strategy: fast, deployments: [{provider: sim}]}}",
         "models.m.strategy (tollway.yaml:1): must be 'ordered', 'weighted', 'least_busy', 'latency', 'cost' or "
         "'affinity', not fast"),
        ("providers: {a: {on_disconnect: drop}}",
         "providers.a.on_disconnect (tollway.yaml:1): must be cancel, or a mapping such as {drain: 30s}, not drop"),
        ("providers: {a: {on_disconnect: {}}}", "providers.a.on_disconnect.drain (tollway.yaml:1): must be given"),
        ("providers: {a: {on_disconnect: {drian: 3s, drain: 3s}}}",
         "providers.a.on_disconnect.drian (tollway.yaml:1): unknown key; did you mean drain?"),
        ("providers: {a: {on_disconnect: {drain: 0s}}}",
         "providers.a.on_disconnect.drain (tollway.yaml:1): must be more than 0, not 0s"),
        ("prices: [{provider: a, input: 1, output: 1e9}]",
         "prices[0].output (tollway.yaml:1): must be an amount such as $5.00, with at most nine decimal places, "
         "not 1e9"),
        ("prices: [{provider: a, input: 10000000, output: 1}]",
         "prices[0].input (tollway.yaml:1): must be at most $100000, not 10000000"),
        ("prices: [{provider: a, input: 1, output: 99999999999999999}]",
         "prices[0].output (tollway.yaml:1): must be at most $100000, not 99999999999999999"),
        ("prices: [{provider: a, input: 1, output: 1, request: $100000.01}]",
         "prices[0].request (tollway.yaml:1): must be at most $100000, not $100000.01"),
        ("prices: [{provider: a, input: 1, output: 1, tiers: {batch: {input: 1, output: 100001}}}]",
         "prices[0].tiers.batch.output (tollway.yaml:1): must be at most $100000, not 100001"),
        ("prices: [{provider: a, input: 1, output: 1, context: 1000000001}]",
         "prices[0].context (tollway.yaml:1): must be at most 1000000000, not 1000000001"),
        ("models: {m: {deployments: [{provider: sim, context: 1000000001}]}}",
         "models.m.deployments[0].context (tollway.yaml:1): must be at most 1000000000, not 1000000001"),
        ("prices: [{provider: a, input: 1, output: 1, tiers: {" + ", ".join(f"t{i}: 50%" for i in range(33)) + "}}]",
         "prices[0].tiers (tollway.yaml:1): must be at most 32 service tiers"),
        ("prices: [{provider: a, input: 1, output: 1, above: ["
         + ", ".join(f"{{tokens: {i + 1}, input: 1, output: 1}}" for i in range(33)) + "]}]",
         "prices[0].above (tollway.yaml:1): must be at most 32 sizes"),
        ("providers: {sim: {dialect: sim, sim: {tokens: 100001, rate: 1000001}}}",
         "providers.sim.sim.rate (tollway.yaml:1): must be at most 1000000, not 1000001\n"
         "providers.sim.sim.tokens (tollway.yaml:1): must be at most 100000, not 100001"),
        ("prices: [{provider: a, input: [], output: 1}]",
         "prices[0].input (tollway.yaml:1): must be an amount such as $5.00"),
        ("defaults: {breaker: {failures: 0}}", "defaults.breaker.failures (tollway.yaml:1): must be at least 1, not 0"),
        ("defaults: {breaker: {rate: 110%}}",
         "defaults.breaker.rate (tollway.yaml:1): must be a share such as 5% or 0.05, at most 100%, not 110%"),
        ("defaults: {breaker: {window: 0s}}", "defaults.breaker.window (tollway.yaml:1): must be more than 0, not 0s"),
        ("defaults: {continuations: -1}", "defaults.continuations (tollway.yaml:1): must be at least 0, not -1"),
        ("defaults: {hedge: {after: p99}}",
         "defaults.hedge.after (tollway.yaml:1): must be p95, or a duration such as 800ms, not p99"),
        ("defaults: {hedge: {after: 0s}}",
         "defaults.hedge.after (tollway.yaml:1): must be p95, or a duration of more than nothing, not 0s"),
        ("defaults: {timeouts: {total: 99999999999d}}",
         "defaults.timeouts.total (tollway.yaml:1): must be at most 3650d, not 99999999999d"),
        ("defaults: {hedge: {after: 3651d}}",
         "defaults.hedge.after (tollway.yaml:1): must be at most 3650d, not 3651d"),
        ("ledger: {retention: 3651d}", "ledger.retention (tollway.yaml:1): must be at most 3650d, not 3651d"),
        ("defaults: {retries: 99999999999999999999999, continuations: 101}",
         "defaults.retries (tollway.yaml:1): must be at most 100, not 99999999999999999999999\n"
         "defaults.continuations (tollway.yaml:1): must be at most 100, not 101"),
        ("defaults: {breaker: {calls: 1000000001}}",
         "defaults.breaker.calls (tollway.yaml:1): must be at most 1000000000, not 1000000001"),
        ("models: {m: {deployments: [{provider: sim, weight: 99999999999, retries: 1000}]}}",
         "models.m.deployments[0].weight (tollway.yaml:1): must be at most 1000000000, not 99999999999\n"
         "models.m.deployments[0].retries (tollway.yaml:1): must be at most 100, not 1000"),
        ("http: {max_body: 2GiB}", "http.max_body (tollway.yaml:1): must be at most 1073741824, not 2GiB"),
        ("cache: {max_bytes: 2000000GiB}",
         "cache.max_bytes (tollway.yaml:1): must be at most 1024GiB, not 2000000GiB"),
        ("defaults: {hedge: {after: []}}",
         "defaults.hedge.after (tollway.yaml:1): must be p95, or a duration such as 800ms"),
        ("models: {m: {assured: perhaps, deployments: [{provider: sim}]}}",
         "models.m.assured (tollway.yaml:1): must be true or false, not perhaps"),
        ("ledger: {url: 'mysql://h/x'}",
         "ledger.url (tollway.yaml:1): must be a URL such as sqlite:///{data_dir}/ledger.db, "
         "with no placeholder but {data_dir}, or postgresql://user:password@host:5432/database"),
        ("ledger: {retention: 12h}",
         "ledger.retention (tollway.yaml:1): must be at least 1d: what is younger may still be on its way, not 12h"),
        ("ledger: {url: 'sqlite:///{dir}/x'}",
         "ledger.url (tollway.yaml:1): must be a URL such as sqlite:///{data_dir}/ledger.db, "
         "with no placeholder but {data_dir}, or postgresql://user:password@host:5432/database"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_told_with_its_place_and_what_is_wanted(complaints: Complaints, text: str, line: str) -> None:
    assert "\n".join(complaints(text)) == line


def test_everything_that_is_wrong_is_told_at_once_in_the_order_of_the_file(complaints: Complaints) -> None:
    lines = complaints(
        """
providers:
  a b: {dialect: openia}
  c:
    api_kee: x
    headers: {"x y": "é"}
models:
  m: {deployments: [{provider: d, weight: 0, can: [fly]}], fallbacks: [n]}
http: {drain: 5, listen: "${NOPE}"}
""",
        {"TOLLWAY_JOURNAL__FSYNC": "later", "TOLLWAY_NOTHING": "1"},
    )
    assert [line.partition(":")[0] + ":" + line.partition(":")[2].partition(")")[0] for line in lines] == [
        'providers."a b".dialect (tollway.yaml:3',
        'providers."a b" (tollway.yaml:3',
        "providers.c.api_kee (tollway.yaml:5",
        'providers.c.headers."x y" (tollway.yaml:6',
        'providers.c.headers."x y" (tollway.yaml:6',
        "models.m.deployments[0].weight (tollway.yaml:8",
        "models.m.deployments[0].can[0] (tollway.yaml:8",
        "models.m.deployments[0].provider (tollway.yaml:8",
        "models.m.fallbacks[0] (tollway.yaml:8",
        "http.listen (tollway.yaml:9",
        "http.drain (tollway.yaml:9",
        "journal.fsync (TOLLWAY_JOURNAL__FSYNC): must be a duration such as 250ms, 10s or 5m, not later",
        "nothing (TOLLWAY_NOTHING): unknown key; there are providers, models, defaults, prices, budgets, limits, "
        "rules, keys, ledger, journal, state, idempotency, cache, telemetry, http, grpc",
    ]


SECRET = "s3cr3t-hunter2"


@pytest.mark.parametrize(
    "text",
    [
        f"providers: {{a: {{api_key: [{SECRET}]}}}}",
        f"providers: {{a: {{api_key: 'x {SECRET}'}}}}",
        f"providers: {{a: {{api_kee: {SECRET}}}}}",
        f"providers: {{a: {{api_key: {SECRET}, api_key: {SECRET}}}}}",
        f"providers: {{a: {{headers: {{authorization: ['{SECRET}']}}}}}}",
        f'providers: {{a: {{headers: {{authorization: "{SECRET}\\n"}}}}}}',
        f"providers: {{a: {{headers: {SECRET}}}}}",
        f"providers: {{a: {{base_url: 'ftp://u:{SECRET}@h'}}}}",
        f"ledger: {{url: 'mysql://u:{SECRET}@h/x'}}",
        f"telemetry: {{otlp_endpoint: 'u:{SECRET}@h'}}",
        "http: {listen: '${SECRET}'}",
        "http: {drain: '${SECRET}', max_body: 'x${SECRET}'}",
        "providers: {a: {api_key: '${SECRET} ${NOPE}'}}",
        f"providers: {{a: {{api_key: '{SECRET}\n",
    ],
)
def test_no_message_repeats_a_secret(complaints: Complaints, text: str) -> None:
    lines = complaints(text, {"SECRET": SECRET})
    assert lines
    assert SECRET not in "\n".join(lines)


def test_an_interpolated_value_is_told_as_it_was_written(complaints: Complaints) -> None:
    (line,) = complaints("http: {listen: '${ADDRESS}'}", {"ADDRESS": "private"})
    assert line.endswith(", not ${ADDRESS}")


def test_a_secret_in_a_variable_is_not_repeated_either(complaints: Complaints) -> None:
    lines = complaints("", {"TOLLWAY_PROVIDERS__A__API_KEY": f"a {SECRET}", "TOLLWAY_PRICES": f"[{{{SECRET}"})
    assert len(lines) == 2
    assert SECRET not in "\n".join(lines)


def test_the_configuration_itself_does_not_show_its_secrets(load_text: LoadText) -> None:
    config = load_text(
        f"providers: {{a: {{api_key: {SECRET}, headers: {{x-key: {SECRET}}}, base_url: 'http://u:{SECRET}@h'}}}}\n"
        f"telemetry: {{otlp_endpoint: 'http://u:{SECRET}@h'}}\nledger: {{url: 'sqlite:///{SECRET}'}}"
    )
    assert SECRET not in repr(config)
    assert config.providers["a"].api_key.get_secret_value() == SECRET


def test_a_long_wrong_value_is_cut_short(complaints: Complaints) -> None:
    (line,) = complaints(f"http: {{drain: {'9' * 100}}}")
    assert line.endswith(f"not {'9' * 60}…")


def test_the_white_space_around_a_key_is_dropped(load_text: LoadText) -> None:
    config = load_text('providers: {a: {api_key: "${KEY}"}}', {"KEY": " sk-1\n"})
    assert config.providers["a"].api_key.get_secret_value() == "sk-1"


def test_what_pydantic_calls_its_errors_is_known_to_the_wording() -> None:
    assert set(_BY_TYPE) <= set(get_args(ErrorType))
