"""Completions of old over a socket: what the SDK gets to see, and what becomes of requests that cannot be accepted."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest

from mesh.errors import Reason, TollwayError
from tests.unit.gateway_http.edge import Edge
from tests.unit.gateway_http.scripted_router import DEPLOYMENT, pieces

PATH = "/v1/completions"
JSON = {"content-type": "application/json"}


async def test_the_openai_sdk_reads_a_whole_answer(edge: Edge) -> None:
    answer = await edge.openai().completions.create(model="gpt-4o", prompt="Hi", max_tokens=5, echo=True)

    assert (answer.choices[0].text, answer.choices[0].finish_reason) == ("HiHello!", "stop")
    assert answer.usage is not None
    assert answer.usage.total_tokens == 12
    assert edge.router.requests[0].chat.sampling.max_tokens == 5


async def test_the_openai_sdk_reads_a_stream_with_its_usage(edge: Edge) -> None:
    edge.router.messages = pieces("Hel", "lo", "!")

    stream = await edge.openai().completions.create(
        model="gpt-4o", prompt="Hi", stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]

    assert "".join(choice.text for chunk in chunks for choice in chunk.choices) == "Hello!"
    assert [chunk.usage for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1].usage is not None
    assert (chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens) == (9, 3)
    assert (chunks[-1].model_extra or {})["tollway"]["deployment"] == DEPLOYMENT


async def test_a_stream_that_breaks_off_raises_and_has_no_end_mark(edge: Edge) -> None:
    edge.router.messages = [*pieces("Hel")[:-1], TollwayError(Reason.UPSTREAM_CUT, "it broke off")]

    reply = await edge.ask("POST", PATH, json.dumps({"model": "a", "prompt": "Hi", "stream": True}).encode(), JSON)
    assert b"[DONE]" not in reply.body
    with pytest.raises(openai.APIError) as raised:
        async for _ in await edge.openai().completions.create(model="gpt-4o", prompt="Hi", stream=True):
            pass

    assert raised.value.code == "upstream_cut"


@pytest.mark.parametrize(
    ("question", "param"),
    [
        ({"prompt": "Hi"}, "model"),
        ({"model": "gpt-4o"}, "prompt"),
        ({"model": "gpt-4o", "prompt": ["a", "b"]}, "prompt"),
        ({"model": "gpt-4o", "prompt": [[15496]]}, "prompt"),
        ({"model": "gpt-4o", "prompt": "Hi", "best_of": 2}, "best_of"),
        ({"model": "gpt-4o", "prompt": "Hi", "logprobs": "2"}, "logprobs"),
        ({"model": "gpt-4o", "prompt": "Hi", "n": 0}, "n"),
    ],
)
async def test_what_cannot_be_accepted_is_a_400_that_names_the_field(
    edge: Edge, question: dict[str, Any], param: str
) -> None:
    reply = await edge.ask("POST", PATH, json.dumps(question).encode(), JSON)

    assert (reply.status, reply.error["param"]) == (400, param)
    assert edge.router.requests == []
