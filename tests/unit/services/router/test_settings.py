from __future__ import annotations

import hashlib
from pathlib import Path

from mesh.config.schema import Config
from mesh.state.store import Rate
from services.router.settings import KeySettings, LimitSettings, RouterSettings, StateSettings


def settings(**sections: object) -> RouterSettings:
    return RouterSettings.from_config(Config.model_validate(sections), Path("/data"))


def test_a_deployment_inherits_what_it_does_not_say_itself() -> None:
    read = settings(
        providers={"a": {}},
        models={
            "gpt": {
                "retries": 2,
                "timeouts": {"gap": "7s"},
                "deployments": [{"provider": "a", "timeouts": {"total": "9s"}}, {"provider": "a", "retries": 0}],
            }
        },
        defaults={"timeouts": {"connect": "1s"}, "retry_after_wait": "2s"},
    )
    first, second = read.models[0].deployments
    assert (first.retries, second.retries) == (2, 0)
    assert (first.timeouts.connect, first.timeouts.gap, first.timeouts.total) == (1.0, 7.0, 9.0)
    assert second.timeouts.total == 600.0
    assert read.retry_after_wait == 2.0


def test_what_becomes_of_an_abandoned_answer_is_the_providers_to_say() -> None:
    read = settings(providers={"a": {}, "b": {"on_disconnect": {"drain": "30s"}}, "c": {"dialect": "sim"}})
    assert {name: provider.drain for name, provider in read.providers.items()} == {"a": 0.0, "b": 30.0, "c": 0.0}
    assert read.providers["c"].dialect == "sim"


def test_the_messages_that_the_edge_takes_are_those_that_the_router_does() -> None:
    assert settings(http={"max_messages": 500}).max_messages == 500


def test_the_journal_is_kept_in_the_data_directory() -> None:
    read = settings(journal={"fsync": "0s", "ship_every": "50ms"})
    assert read.journal_directory == Path("/data/journal")
    assert (read.journal_fsync, read.ship_every) == (0.0, 0.05)
    assert not read.journal_full_allowed
    assert settings(journal={"when_full": "allow"}).journal_full_allowed


def test_how_far_a_question_is_followed_is_said_by_the_nearest_section() -> None:
    read = settings(
        providers={"a": {}},
        models={
            "gpt": {
                "assured": True,
                "continuations": 1,
                "hedge": {"after": "800ms"},
                "breaker": {"failures": 2},
                "deployments": [{"provider": "a", "can": ["prefill"]}, {"provider": "a", "can": ["tools"]}],
            },
            "other": {"deployments": [{"provider": "a"}]},
        },
    )
    gpt, other = read.models
    assert [deployment.can for deployment in (*gpt.deployments, *other.deployments)] == [{"prefill"}, {"tools"}, None]
    assert (gpt.assured, gpt.continuations) == (True, 1)
    assert gpt.hedge is not None
    assert gpt.hedge.after == 0.8
    assert gpt.deployments[0].breaker.failures == 2
    assert (other.assured, other.continuations, other.hedge) == (False, 2, None)
    assert other.deployments[0].breaker.failures == 5


def test_a_key_is_known_by_its_digest_alone() -> None:
    plain = "tw-a-secret-of-some-length"
    named = {"tenant": "acme", "project": "demo", "tags": ["ci"], "models": ["m"], "role": "operator", "cache": "5m"}
    (key,) = settings(keys=[{"name": "ci", "key": plain, "expires": "1970-01-02", **named}]).keys
    assert key == KeySettings(
        "ci", hashlib.sha256(plain.encode()).digest(), "acme", "demo", ("ci",), ("m",), "operator", 300.0, 86_400.0
    )
    (uncached,) = settings(keys=[{"name": "ci", "key": plain}]).keys
    assert uncached.cache is None
    assert settings().keys == ()


def test_how_answers_are_kept_is_read_as_it_is_configured() -> None:
    models = {
        "a": {"deployments": [{"provider": "sim"}], "cache": "5m"},
        "b": {"deployments": [{"provider": "sim"}], "cache": {"ttl": "1h"}},
        "c": {"deployments": [{"provider": "sim"}]},
    }
    read = settings(models=models, cache={"max_entry": "1KiB"}, idempotency={"keep": "1h"})
    assert [model.cache for model in read.models] == [300.0, 3600.0, None]
    assert (read.cache.ttl, read.cache.max_entry, read.cache.max_bytes) == (600.0, 1024, 64 * 2**20)
    assert (read.idempotency.keep, read.idempotency.max_answer) == (3600.0, 4 * 2**20)


def test_shared_state_may_be_kept_in_the_data_directory() -> None:
    assert settings().state == StateSettings("memory://", True, 0.25)
    read = settings(state={"url": "sqlite:///{data_dir}/state.db", "when_lost": "deny", "timeout": "1s"})
    assert read.state == StateSettings("sqlite:////data/state.db", False, 1.0)


def test_limits_are_rates_and_a_number_of_places() -> None:
    read = settings(limits=[{"scope": "key:*", "requests": "600/m", "tokens": "5/s", "concurrency": 3}])
    assert read.limits == (LimitSettings("key:*", Rate(600, 60.0), Rate(5, 1.0), 3),)
