from __future__ import annotations

from pathlib import Path

from mesh.config.schema import Config
from mesh.state.store import Rate
from services.router.settings import LimitSettings, RouterSettings, StateSettings


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


def test_the_journal_is_kept_in_the_data_directory() -> None:
    read = settings(journal={"fsync": "0s", "ship_every": "50ms"})
    assert read.journal_directory == Path("/data/journal")
    assert (read.journal_fsync, read.ship_every) == (0.0, 0.05)


def test_shared_state_may_be_kept_in_the_data_directory() -> None:
    assert settings().state == StateSettings("memory://", True, 0.25)
    read = settings(state={"url": "sqlite:///{data_dir}/state.db", "when_lost": "deny", "timeout": "1s"})
    assert read.state == StateSettings("sqlite:////data/state.db", False, 1.0)


def test_limits_are_rates_and_a_number_of_places() -> None:
    read = settings(limits=[{"scope": "key:*", "requests": "600/m", "tokens": "5/s", "concurrency": 3}])
    assert read.limits == (LimitSettings("key:*", Rate(600, 60.0), Rate(5, 1.0), 3),)
