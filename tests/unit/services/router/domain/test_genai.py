from __future__ import annotations

import pytest

from services.router.domain import genai
from tests.unit.services.router.twins import STOP, chat
from tollway.chat.v1.chat_pb2 import SamplingOptions, Usage


@pytest.mark.parametrize(
    ("name", "dialect", "expected"),
    [
        ("mistral", "openai", "mistral_ai"),
        ("openai", "openai", "openai"),
        ("my-vllm", "openai", "openai"),
        ("s", "sim", "sim"),
    ],
)
def test_a_provider_goes_by_the_conventions_name_or_by_what_it_speaks(name: str, dialect: str, expected: str) -> None:
    assert genai.provider_name(name, dialect) == expected


def test_parameters_that_were_not_set_are_not_said() -> None:
    assert genai.request_attributes(chat("gpt"), "openai", streamed=True) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt",
        "gen_ai.request.stream": True,
    }


def test_parameters_that_were_set_are_said_zero_or_not() -> None:
    request = chat("gpt", choice_count=3, reasoning_effort="low")
    request.sampling.CopyFrom(SamplingOptions(temperature=0, seed=0, max_tokens=7, stop=["."]))
    said = genai.request_attributes(request, "openai", streamed=False)
    assert said["gen_ai.request.temperature"] == 0
    assert said["gen_ai.request.seed"] == 0
    assert said["gen_ai.request.max_tokens"] == 7
    assert said["gen_ai.request.stop_sequences"] == (".",)
    assert said["gen_ai.request.choice.count"] == 3
    assert said["gen_ai.request.reasoning.level"] == "low"


def test_an_answer_is_told_by_its_finish_and_its_usage() -> None:
    assert genai.response_attributes("id-1", "m", [STOP])["gen_ai.response.finish_reasons"] == ("stop",)
    said = genai.usage_attributes(Usage(input_tokens=3, cached_input_tokens=2, output_tokens=4, reasoning_tokens=1))
    assert said["gen_ai.usage.input_tokens"] == 3
    assert said["gen_ai.usage.cache_read.input_tokens"] == 2
    assert said["gen_ai.usage.reasoning.output_tokens"] == 1
