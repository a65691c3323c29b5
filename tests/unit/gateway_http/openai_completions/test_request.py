from __future__ import annotations

import json
from typing import Any

import pytest

from gateway_http import openai_completions
from gateway_http.dialect import Decoded
from gateway_http.openai_completions.request import Answering
from mesh.errors import Reason, TollwayError
from tollway.chat.v1 import chat_pb2 as pb
from tollway.router.v1.router_pb2 import CreateChatCompletionRequest, StreamChatCompletionRequest


def decode(**fields: Any) -> Decoded:
    return openai_completions.decode({"model": "gpt-4o", "prompt": "Once", **fields}, max_messages=3)


def answering(**fields: Any) -> Answering:
    made = decode(**fields).answering
    assert isinstance(made, Answering)
    return made


@pytest.mark.parametrize("prompt", ["Once", ["Once"]])
def test_a_prompt_is_what_the_user_says(prompt: Any) -> None:
    call = decode(prompt=prompt)

    assert isinstance(call.request, CreateChatCompletionRequest)
    assert call.request.chat == pb.ChatRequest(
        model="gpt-4o", messages=[pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text="Once")])]
    )


def test_every_option_has_its_field() -> None:
    chat = decode(
        max_tokens=16,
        temperature=1,
        top_p=0.5,
        n=2,
        stop="\n",
        seed=0,
        presence_penalty=-2,
        frequency_penalty=-2,
        logit_bias={"50256": -100},
        logprobs=3,
        user="ann",
    ).request.chat

    assert chat.sampling == pb.SamplingOptions(
        max_tokens=16,
        temperature=1,
        top_p=0.5,
        stop=["\n"],
        seed=0,
        presence_penalty=-2,
        frequency_penalty=-2,
        logit_bias={"50256": -100},
        logprobs=True,
        top_logprobs=3,
    )
    assert (chat.choice_count, chat.user, chat.extra_json) == (2, "ann", b"")


def test_no_alternatives_are_still_log_probabilities() -> None:
    sampling = decode(logprobs=0).request.chat.sampling

    assert sampling.logprobs
    assert not sampling.HasField("top_logprobs")


def test_what_a_chat_has_no_place_for_travels_under_its_own_name() -> None:
    assert json.loads(decode(suffix="end.", min_p=0.1).request.chat.extra_json) == {"suffix": "end.", "min_p": 0.1}
    assert decode(suffix="").request.chat.extra_json == b""
    assert decode(suffix=None, best_of=None, echo=None).request.chat.extra_json == b""


def test_echo_and_best_of_are_told_to_nobody() -> None:
    call = decode(echo=True, best_of=2, n=2)

    assert call.request.chat.extra_json == b""
    assert answering(echo=True).echo == "Once"
    assert answering(echo=False).echo == ""
    assert answering(best_of=0).echo == ""


def test_a_stream_is_asked_for_as_in_a_chat() -> None:
    assert isinstance(decode(stream=True).request, StreamChatCompletionRequest)
    assert answering(stream=True, stream_options={"include_usage": True}).include_usage
    assert not answering(stream=True).include_usage


def test_other_models_may_be_named_to_be_asked_after() -> None:
    assert decode(models=["b"]).request.preferences.models == ["b"]


@pytest.mark.parametrize(
    ("field", "fields", "problem"),
    [
        ("model", {"model": None}, "must be given: the name of the model to ask"),
        ("prompt", {"prompt": None}, "must be given: the text to go on with"),
        ("prompt", {"prompt": 5}, "must be a string, or an array of one, not a number"),
        ("prompt", {"prompt": []}, "holds 0 prompts; one can be asked at a time"),
        ("prompt", {"prompt": ["a", "b"]}, "holds 2 prompts; one can be asked at a time"),
        ("prompt", {"prompt": [1, 2]}, "holds tokens, which mean something to one model alone: send the text"),
        ("prompt", {"prompt": [[1, 2]]}, "holds tokens, which mean something to one model alone: send the text"),
        ("prompt", {"prompt": [None]}, "must be a string, or an array of one, not null"),
        (
            "best_of",
            {"best_of": 3, "n": 2},
            "cannot be more than n: a chat model chooses no best of answers that are not shown",
        ),
        ("best_of", {"best_of": -1}, "must not be negative"),
        ("logprobs", {"logprobs": True}, "must be a whole number, not a boolean"),
        ("logprobs", {"logprobs": -1}, "must not be negative"),
        ("echo", {"echo": "yes"}, "must be a boolean, not a string"),
        ("suffix", {"suffix": 5}, "must be a string, not a number"),
        ("n", {"n": 0}, "must be from 1 to 128"),
        ("n", {"n": 129}, "must be from 1 to 128"),
        ("stream_options", {"stream_options": {}}, "is only allowed where stream is true"),
    ],
)
def test_what_cannot_be_asked_is_refused_by_name(field: str, fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(TollwayError) as raised:
        decode(**fields)

    assert raised.value.reason is Reason.INVALID_REQUEST
    assert raised.value.message == f"{field}: {problem}"
