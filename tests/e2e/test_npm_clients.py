"""The npm packages `openai` and `@ai-sdk/openai-compatible`, unmodified, against the real thing in every topology."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e.npm_clients import FOLDER, talk
from tests.e2e.processes import Mesh

ECHO = "The quick brown fox"


@pytest.mark.parametrize("client", sorted(folder.name for folder in FOLDER.iterdir() if folder.is_dir()))
def test_every_client_s_packages_are_locked_by_what_is_in_them_and_not_by_where_they_were(client: str) -> None:
    lock = json.loads((FOLDER / client / "package-lock.json").read_text())
    packages = {name: package for name, package in lock["packages"].items() if name}

    assert (FOLDER / client / "talk.mjs").exists()
    assert packages
    assert all(package["integrity"].startswith("sha512-") for package in packages.values())
    assert not any("resolved" in package for package in packages.values())


@pytest.fixture(scope="module")
def openai(mesh: Mesh) -> Any:
    return talk("openai", mesh.http)


@pytest.fixture(scope="module")
def ai_sdk(mesh: Mesh) -> Any:
    return talk("ai-sdk", mesh.http)


def test_openai_s_package_reads_chat_completions(openai: Any) -> None:
    for name in ("whole", "streamed"):
        (choice,) = openai[name]["choices"]
        assert (choice["message"]["content"], choice["finish_reason"]) == (ECHO, "stop")
        assert openai[name]["usage"]["completion_tokens"] > 0
    assert len(openai["texts"]) > 1

    (called,) = openai["called"]["choices"]
    calls = [call["function"] for call in called["message"]["tool_calls"]]
    assert [call["name"] for call in calls] == ["get_weather"] * 2
    assert all(json.loads(call["arguments"])["unit"] in ("celsius", "fahrenheit") for call in calls)
    assert openai["answered"]["choices"][0]["message"]["content"] == "The tools answered: 21 °C 21 °C"
    assert openai["thought"]


def test_openai_s_package_reads_completions_of_old(openai: Any) -> None:
    assert openai["completion"] == "Once upon a timeOnce upon a time"
    assert openai["completionUsage"]["completion_tokens"] > 0


def test_openai_s_package_reads_responses(openai: Any) -> None:
    response = openai["response"]
    assert [item["type"] for item in response["output"]] == ["reasoning", "message"]
    assert response["output_text"]
    assert response["usage"]["output_tokens_details"]["reasoning_tokens"] > 0
    assert response["store"] is False
    assert [number for _, number in openai["events"]] == list(range(len(openai["events"])))
    assert openai["events"][-1][0] == "response.completed"

    assert [item["name"] for item in openai["items"]] == ["get_weather"] * 2
    assert all(json.loads(item["arguments"])["city"] for item in openai["items"])
    assert openai["items2"]["output_text"] == "The tools answered: 21 °C 21 °C"


def test_openai_s_package_raises_errors_of_their_class(openai: Any) -> None:
    assert (openai["missing"]["name"], openai["missing"]["code"]) == ("NotFoundError", "model_not_found")
    assert (openai["wrong"]["name"], openai["wrong"]["status"]) == ("BadRequestError", 400)
    assert "previous_response_id" in openai["wrong"]["text"]
    assert "broke off" in openai["cut"]["text"]
    assert "broke off" in openai["cutResponse"]["text"]


def test_the_ai_sdk_streams_text_with_usage_and_thinking(ai_sdk: Any) -> None:
    assert "".join(ai_sdk["texts"]) == ECHO
    assert len(ai_sdk["texts"]) > 1
    assert (ai_sdk["finish"], ai_sdk["usage"]["outputTokens"]) == ("stop", 4)
    assert ai_sdk["thinking"] == ai_sdk["thought"] != ""


def test_the_ai_sdk_calls_tools_and_goes_on_with_what_they_answer(ai_sdk: Any) -> None:
    assert [name for name, _ in ai_sdk["calls"]] == ["weather"] * 2
    assert all(given["unit"] in ("celsius", "fahrenheit") for _, given in ai_sdk["calls"])
    assert ai_sdk["answered"] == "The tools answered: 21 °C 21 °C"


def test_the_ai_sdk_generates_objects(ai_sdk: Any) -> None:
    assert set(ai_sdk["object"]) == {"number", "lines", "total", "paid"}


def test_the_ai_sdk_sees_errors_before_and_in_a_stream(ai_sdk: Any) -> None:
    assert ai_sdk["missing"]["status"] == 404
    assert any("broke off" in error for error in ai_sdk["cut"]["errors"])
    assert ai_sdk["cut"]["finish"] != "stop"
