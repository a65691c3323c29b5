"""What an adapter says that it supports is what it can be told without a part being refused or left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from mesh.errors import TollwayError
from services.providers.adapters import bedrock, cohere
from services.providers.domain.unsaid import Unsaid
from tollway.chat.v1 import chat_pb2

MODEL = "anthropic.claude-opus-4-6-v1"
USER, ASSISTANT = chat_pb2.ROLE_USER, chat_pb2.ROLE_ASSISTANT
TOOLS = [chat_pb2.ToolDefinition(name="f")]


def saying(*parts: chat_pb2.ContentPart, role: chat_pb2.Role.ValueType = USER) -> chat_pb2.ChatRequest:
    return chat_pb2.ChatRequest(messages=[chat_pb2.Message(role=role, content=parts)])


def asking(**fields: Any) -> chat_pb2.ChatRequest:
    return chat_pb2.ChatRequest(messages=[chat_pb2.Message(role=USER, content=[part(text="Hi")])], **fields)


def drawing(**fields: Any) -> chat_pb2.ChatRequest:
    return asking(sampling=chat_pb2.SamplingOptions(**fields))


def part(**fields: Any) -> chat_pb2.ContentPart:
    return chat_pb2.ContentPart(**fields)


def proven(adapter: str) -> chat_pb2.ChatRequest:
    thought = chat_pb2.ReasoningPart(text="Hm.", signature="s", issuer=adapter)
    return saying(part(reasoning=thought), part(text="a"), role=ASSISTANT)


QUESTIONS: Mapping[str, chat_pb2.ChatRequest] = {
    "chat": asking(),
    "vision": saying(part(text="a"), part(image=chat_pb2.ImagePart(data=b"x", media_type="image/png"))),
    "audio_in": saying(part(text="a"), part(audio=chat_pb2.AudioPart(data=b"x", format="wav"))),
    "files": saying(part(text="a"), part(file=chat_pb2.FilePart(data=b"x", media_type="text/plain"))),
    "cache_control": saying(part(text="a", cache_control=chat_pb2.CacheControl())),
    "tools": asking(tools=TOOLS),
    "parallel_tools": asking(tools=TOOLS, parallel_tool_calls=False),
    "tool_choice": asking(tools=TOOLS, tool_choice=chat_pb2.ToolChoice(mode=chat_pb2.TOOL_CHOICE_MODE_REQUIRED)),
    "json_object": asking(response_format=chat_pb2.ResponseFormat(kind=chat_pb2.RESPONSE_FORMAT_KIND_JSON_OBJECT)),
    "json_schema": asking(
        response_format=chat_pb2.ResponseFormat(
            kind=chat_pb2.RESPONSE_FORMAT_KIND_JSON_SCHEMA, schema_json=b'{"type": "object"}'
        )
    ),
    "prediction": asking(extra_json=b'{"prediction": {"type": "content", "content": "a"}}'),
    "n": asking(choice_count=2),
    "seed": drawing(seed=1),
    "stop": drawing(stop=["a"]),
    "top_k": drawing(top_k=1),
    "penalties": drawing(frequency_penalty=0.5),
    "logit_bias": drawing(logit_bias={"1": 1}),
    "logprobs": drawing(logprobs=True),
    "service_tier": asking(service_tier="flex"),
    "reasoning": asking(reasoning_budget_tokens=2000),
    "audio_out": asking(modalities=["audio"]),
}
ADAPTERS: Mapping[str, Any] = {"bedrock": bedrock, "cohere": cohere}


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("feature", [*QUESTIONS, "reasoning_proof"])
def test_a_feature_is_supported_if_nothing_of_it_is_refused_or_left_out(adapter: str, feature: str) -> None:
    module = ADAPTERS[adapter]
    chat = proven(adapter) if feature == "reasoning_proof" else QUESTIONS[feature]
    unsaid = Unsaid()
    try:
        module.encode_request(chat, MODEL, False, unsaid)
    except TollwayError:
        assert feature not in module.supports
    else:
        assert (feature in module.supports) is (unsaid.dropped == [])


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_what_is_beside_chat_is_supported_if_it_is_there(adapter: str) -> None:
    module = ADAPTERS[adapter]
    for feature, face in (("embeddings", "encode_embeddings"), ("count", "encode_count"), ("rerank", "encode_forward")):
        assert (feature in module.supports) is hasattr(module, face)
