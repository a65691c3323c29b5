from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_http import openai_chat
from services.router.domain.fingerprint import fingerprint, scoped
from tollway.chat.v1.chat_pb2 import (
    ChatRequest,
    ContentPart,
    ImagePart,
    Message,
    ResponseFormat,
    ResponseFormatKind,
    Role,
    SamplingOptions,
    ToolCall,
    ToolChoice,
    ToolChoiceMode,
    ToolDefinition,
)

BODY: dict[str, Any] = {
    "model": "gpt-4o",
    "messages": [
        {"role": "system", "content": "Be brief.", "cache_control": {"type": "ephemeral"}, "x": 1},
        {"role": "user", "content": [{"type": "text", "text": "Hi", "y": 1, "z": 2}], "name": "ann"},
        {"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "1", "content": "21"},
    ],
    "temperature": 0.2, "seed": 7, "max_tokens": 100, "stop": ["\n"], "logit_bias": {"1": 5, "2": -5},
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
    "tool_choice": "auto", "metadata": {"a": "1", "b": "2"}, "user": "ann",
    "top_a": 0.3, "provider": {"order": ["x"], "zdr": True}, "response_format": {"type": "json_object"},
}  # fmt: skip


def of(body: dict[str, Any], models: list[str] | None = None) -> bytes:
    """The fingerprint of what the edge makes of a JSON body."""
    request = openai_chat.decode(json.loads(json.dumps(body)), 100).request
    return fingerprint(request.chat, models or [])


@st.composite
def shuffled(draw: st.DrawFn) -> dict[str, Any]:
    """The body with the fields of each of its objects in another order; what a provider alone knows stays as it is."""

    def other_order(fields: dict[str, Any]) -> dict[str, Any]:
        names = draw(st.permutations(list(fields)))
        return {name: fields[name] for name in names}

    body = other_order(BODY)
    body["messages"] = [other_order(message) for message in body["messages"]]
    body["tools"] = [other_order(tool) for tool in body["tools"]]
    body["metadata"], body["logit_bias"] = other_order(body["metadata"]), other_order(body["logit_bias"])
    return body


@given(shuffled())
def test_the_order_of_fields_makes_no_other_question(body: dict[str, Any]) -> None:
    assert of(body) == of(BODY)


def chat(**fields: Any) -> ChatRequest:
    message = Message(role=Role.ROLE_USER, content=[ContentPart(text="Hi")])
    return ChatRequest(**{"model": "gpt", "messages": [message], **fields})


@pytest.mark.parametrize(
    "spelled_out",
    [
        chat(choice_count=1),
        chat(modalities=["text"]),
        chat(response_format=ResponseFormat(kind=ResponseFormatKind.RESPONSE_FORMAT_KIND_TEXT)),
        chat(response_format=ResponseFormat()),
        chat(sampling=SamplingOptions()),
        chat(tool_choice=ToolChoice()),
        chat(user="", service_tier="", reasoning_effort="", extra_json=b"", metadata={}, tools=[]),
    ],
    ids=str,
)
def test_what_stands_for_leaving_a_field_out_makes_no_other_question(spelled_out: ChatRequest) -> None:
    before = spelled_out.SerializeToString()
    assert fingerprint(spelled_out, ()) == fingerprint(chat(), ())
    assert spelled_out.SerializeToString() == before


CHANGES: list[Callable[[ChatRequest], object]] = [
    lambda it: setattr(it, "model", "gpt-5"),
    lambda it: setattr(it.messages[0], "role", Role.ROLE_SYSTEM),
    lambda it: setattr(it.messages[0], "name", "ann"),
    lambda it: setattr(it.messages[0].content[0], "text", "Hi "),
    lambda it: setattr(it.messages[0].content[0], "extra_json", b'{"a":1}'),
    lambda it: setattr(it.messages[0], "extra_json", b'{"a":1}'),
    lambda it: it.messages.append(it.messages[0]),
    lambda it: it.messages[0].content.append(ContentPart(text="")),
    lambda it: it.messages[0].content.append(ContentPart(image=ImagePart(url="https://example.com/a.png"))),
    lambda it: it.messages[0].tool_calls.append(ToolCall(id="1")),
    lambda it: it.messages[0].tool_calls.append(ToolCall(extra_json=b'{"a":1}')),
    lambda it: setattr(it.messages[0], "tool_call_id", "1"),
    lambda it: setattr(it.sampling, "temperature", 0.0),
    lambda it: setattr(it.sampling, "temperature", 1.0),
    lambda it: setattr(it.sampling, "seed", 0),
    lambda it: it.sampling.stop.append("x"),
    lambda it: setattr(it.sampling, "max_tokens", 5),
    lambda it: setattr(it.sampling, "max_output_tokens", 5),
    lambda it: it.sampling.logit_bias.update({"1": 1.0}),
    lambda it: it.tools.append(ToolDefinition(type="function", name="f")),
    lambda it: it.tools.append(ToolDefinition(type="function", name="f", parameters_json=b'{"a":1,"b":2}')),
    lambda it: it.tools.append(ToolDefinition(type="function", name="f", parameters_json=b'{"b":2,"a":1}')),
    lambda it: it.tools.append(ToolDefinition(type="function", name="f", strict=False)),
    lambda it: it.tools.append(ToolDefinition(type="function", name="f", extra_json=b'{"a":1}')),
    lambda it: setattr(it.tool_choice, "mode", ToolChoiceMode.TOOL_CHOICE_MODE_NONE),
    lambda it: setattr(it, "parallel_tool_calls", False),
    lambda it: setattr(it, "parallel_tool_calls", True),
    lambda it: setattr(it.response_format, "kind", ResponseFormatKind.RESPONSE_FORMAT_KIND_JSON_OBJECT),
    lambda it: setattr(it.response_format, "extra_json", b'{"type":"grammar"}'),
    lambda it: setattr(it, "choice_count", 2),
    lambda it: setattr(it, "reasoning_effort", "low"),
    lambda it: it.modalities.append("audio"),
    lambda it: it.modalities.extend(["text", "audio"]),
    lambda it: setattr(it, "service_tier", "flex"),
    lambda it: it.metadata.update({"a": "1"}),
    lambda it: setattr(it, "user", "ann"),
    lambda it: setattr(it, "dialect", "anthropic"),
    lambda it: setattr(it, "reasoning_budget_tokens", 1024),
    lambda it: setattr(it, "reasoning_summary", "auto"),
    lambda it: setattr(it, "extra_json", b'{"a":1}'),
    lambda it: setattr(it, "extra_json", b'{"a":1.0}'),
    lambda it: setattr(it, "extra_json", b'{"a":123456789012345678901234567890}'),
    lambda it: setattr(it, "extra_json", b'{"a":123456789012345678901234567891}'),
    lambda it: setattr(it, "extra_json", b'{"a":{"b":1,"c":2}}'),
    lambda it: setattr(it, "extra_json", b'{"a":{"c":2,"b":1}}'),
    lambda it: setattr(it, "extra_json", b"not JSON"),
]


def test_everything_else_makes_another_question_and_none_of_them_the_same() -> None:
    seen = {fingerprint(chat(), ())}
    for change in CHANGES:
        changed = chat()
        change(changed)
        seen.add(fingerprint(changed, ()))
    seen |= {fingerprint(chat(), models) for models in (["b"], ["b", "c"], ["bc"], ["c", "b"], [""])}
    assert len(seen) == 1 + len(CHANGES) + 5


def test_every_field_of_a_question_is_among_the_changes() -> None:
    changed: set[str] = set()
    for change in CHANGES:
        one = chat()
        change(one)
        changed |= {field.name for field, value in one.ListFields() if value != getattr(chat(), field.name)}
    assert changed == set(ChatRequest.DESCRIPTOR.fields_by_name)


@given(st.lists(st.text(max_size=5), max_size=4), st.lists(st.text(max_size=5), max_size=4))
def test_names_make_one_name_that_no_other_names_make(some: list[str], others: list[str]) -> None:
    assert (scoped(*some) == scoped(*others)) == (some == others)
