"""The npm package `@anthropic-ai/sdk`, unmodified, against the real thing in every topology."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.npm_clients import talk
from tests.e2e.processes import Mesh

ECHO = [{"type": "text", "text": "The quick brown fox"}]


@pytest.fixture
def told(mesh: Mesh) -> Any:
    return talk("anthropic", mesh.http)


def test_the_npm_package_reads_answers_streams_calls_thoughts_and_errors(told: Any) -> None:
    assert told["whole"]["content"] == told["streamed"]["content"] == ECHO
    assert told["whole"]["stop_reason"] == told["streamed"]["stop_reason"] == "end_turn"
    assert len(told["texts"]) > 1
    assert told["requestId"]
    assert told["streamed"]["usage"]["output_tokens"] > 0

    calls = told["called"]["content"]
    assert [call["name"] for call in calls] == ["get_weather"] * 2
    assert all(call["input"]["unit"] in ("celsius", "fahrenheit") for call in calls)
    assert told["snapshot"] == calls[-1]["input"]
    assert told["called"]["stop_reason"] == "tool_use"
    assert told["answered"]["content"] == [{"type": "text", "text": "The tools answered: 21 °C 21 °C"}]

    assert [block["type"] for block in told["thought"]["content"]] == ["thinking", "text"]
    assert "".join(told["thinking"]) == told["thought"]["content"][0]["thinking"]

    assert (told["missing"]["name"], told["missing"]["type"]) == ("NotFoundError", "not_found_error")
    assert (told["wrong"]["name"], told["wrong"]["status"]) == ("BadRequestError", 400)
    assert "messages[0].content" in told["wrong"]["text"]
    assert "upstream_cut" in told["cut"]["text"]
