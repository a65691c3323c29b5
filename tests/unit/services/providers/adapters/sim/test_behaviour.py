from __future__ import annotations

import pytest

from mesh.config.schema import SimOptions
from services.providers.adapters.sim.behaviour import CATALOGUE, Behaviour, NoSuchModel, behaviour
from services.providers.ports import KnownModel

USUAL = SimOptions(ttft="1s", rate=5, tokens=7)


def test_a_name_without_parameters_behaves_as_the_configuration_says() -> None:
    assert behaviour("sim", USUAL) == Behaviour("text", ttft=1.0, rate=5, tokens=7)


def test_a_name_s_own_parameters_come_before_the_configuration_s() -> None:
    made = behaviour("echo:ttft=200ms,rate=50,tokens=100", USUAL)
    assert made == Behaviour("echo", ttft=0.2, rate=50, tokens=100)


def test_a_status_is_part_of_its_name() -> None:
    made = behaviour("status-429:retry-after=2", USUAL)
    assert (made.kind, made.status, made.retry_after) == ("status", 429, "2")


@pytest.mark.parametrize("model", CATALOGUE, ids=lambda model: model.name)
def test_every_listed_name_means_something_and_is_described_in_a_sentence(model: KnownModel) -> None:
    kind = model.name.partition(":")[0]
    assert behaviour(model.name, USUAL).kind in (kind.partition("-4")[0].partition("-5")[0], "text")
    assert model.description.endswith(".")


@pytest.mark.parametrize("name", ["gpt-4o", "llama3.2:latest", "ft:gpt-4o:me", "anthropic/claude", ""])
def test_a_name_that_means_nothing_here_answers_like_any_model(name: str) -> None:
    assert behaviour(name, USUAL).kind == "text"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("statsu-503", "did you mean 'status-503'"),
        ("ehco", "did you mean 'echo'"),
        ("status-99", "did you mean 'status-503'"),
        ("status-200", "did you mean 'status-503'"),
        ("echo:speed=5", "no parameter 'speed'"),
        ("echo:rate=fast", "rate=fast: must be tokens a second"),
        ("echo:rate=-1", "rate=-1: must be tokens a second"),
        ("echo:rate=nan", "rate=nan: must be tokens a second"),
        ("echo:rate=1000001", "rate=1000001: must be tokens a second, at most 1000000"),
        ("cut:after=x", "after=x: must be from 0 to 100000"),
        ("cut:after=", "after=: must be from 0 to 100000"),
        ("echo:tokens=1000000000", "tokens=1000000000: must be from 0 to 100000"),
        ("text:calls=129", "calls=129: must be from 0 to 128"),
        ("echo:ttft=5", "ttft=5"),
        ("flaky:status=200", "status=200: must be an HTTP status"),
        ("status-429:retry-after=a\nb", "must be a number of seconds"),
    ],
)
def test_a_slip_of_the_pen_is_told_and_not_answered(name: str, said: str) -> None:
    with pytest.raises(NoSuchModel, match=said):
        behaviour(name, USUAL)
