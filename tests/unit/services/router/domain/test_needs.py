from __future__ import annotations

import pytest

from services.router.domain.needs import Needs
from tests.unit.services.router.twins import chat
from tollway.chat.v1.chat_pb2 import (
    AudioPart,
    ChatRequest,
    ContentPart,
    FilePart,
    ImagePart,
    Message,
    ReasoningPart,
    ResponseFormat,
    ResponseFormatKind,
    Role,
    SamplingOptions,
    ToolCall,
    ToolDefinition,
)


def saying(*parts: ContentPart, **message: object) -> ChatRequest:
    return ChatRequest(model="gpt", messages=[Message(role=Role.ROLE_USER, content=parts, **message)])  # type: ignore[arg-type]


def asking(**fields: object) -> ChatRequest:
    return ChatRequest(messages=chat().messages, **fields)  # type: ignore[arg-type]


SCHEMA = ResponseFormat(kind=ResponseFormatKind.RESPONSE_FORMAT_KIND_JSON_SCHEMA)
OBJECT = ResponseFormat(kind=ResponseFormatKind.RESPONSE_FORMAT_KIND_JSON_OBJECT)


@pytest.mark.parametrize(
    ("question", "features"),
    [
        (chat(), ()),
        (asking(tools=[ToolDefinition(name="f")]), ("tools",)),
        (saying(tool_calls=[ToolCall(name="f")]), ("tools",)),
        (ChatRequest(messages=[Message(role=Role.ROLE_TOOL)]), ("tools",)),
        (saying(ContentPart(text="look"), ContentPart(image=ImagePart(url="https://x"))), ("vision",)),
        (saying(ContentPart(audio=AudioPart(data=b"x"))), ("audio",)),
        (asking(modalities=["text", "audio"]), ("audio",)),
        (asking(modalities=["text"]), ()),
        (saying(ContentPart(file=FilePart(file_id="f"))), ("files",)),
        (asking(response_format=SCHEMA), ("json_schema",)),
        (asking(response_format=OBJECT), ()),
        (asking(reasoning_effort="high"), ("reasoning",)),
        (asking(reasoning_effort="none"), ()),
        (saying(ContentPart(reasoning=ReasoningPart(text="hm"))), ()),
        (asking(reasoning_effort="low", response_format=SCHEMA, tools=[ToolDefinition()]),
         ("tools", "json_schema", "reasoning")),
    ],
)  # fmt: skip
def test_a_question_needs_what_is_in_it_or_asked_of_the_answer(
    question: ChatRequest, features: tuple[str, ...]
) -> None:
    assert Needs(question).features == features


def test_tokens_are_estimated_and_the_fewest_there_can_be_are_fewer() -> None:
    needs = Needs(chat(words="x" * 800))
    assert (needs.input_tokens, needs.fewest_input_tokens, needs.output_tokens) == (200, 100, 0)


@pytest.mark.parametrize("sampling", [SamplingOptions(max_tokens=7), SamplingOptions(max_output_tokens=7)])
def test_the_cap_on_the_answer_is_room_that_is_needed_whichever_name_it_has(sampling: SamplingOptions) -> None:
    assert Needs(ChatRequest(sampling=sampling)).output_tokens == 7
