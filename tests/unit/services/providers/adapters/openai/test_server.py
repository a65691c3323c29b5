"""What servers are told that follow OpenAI but for quirks of their own."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from mesh.errors import Reason, TollwayError
from services.providers.adapters.openai import dialect
from services.providers.domain.quirks import Quirks
from services.providers.domain.unsaid import Unsaid
from tollway.chat.v1 import chat_pb2, embedding_pb2

HI = chat_pb2.Message(role=chat_pb2.ROLE_USER, content=[chat_pb2.ContentPart(text="Hi")])


def asking(*messages: chat_pb2.Message, **fields: Any) -> chat_pb2.ChatRequest:
    return chat_pb2.ChatRequest(messages=messages or [HI], **fields)


def thinking(**fields: Any) -> chat_pb2.Message:
    thought = chat_pb2.ContentPart(reasoning=chat_pb2.ReasoningPart(**fields))
    call = chat_pb2.ToolCall(id="1", name="f", arguments="{}", signature="g")
    return chat_pb2.Message(role=chat_pb2.ROLE_ASSISTANT, content=[thought], tool_calls=[call])


def told(quirks: Quirks, chat: chat_pb2.ChatRequest, stream: bool = False) -> tuple[dict[str, Any], list[str]]:
    """The body, and what is left out of it."""
    unsaid = Unsaid(allowed=True)
    return json.loads(dialect(quirks).encode_request(chat, "m", stream, unsaid).body), unsaid.dropped


def test_a_field_goes_by_the_name_that_the_server_has_for_it() -> None:
    quirks = Quirks(renames={"max_completion_tokens": "max_tokens", "seed": "random_seed"})
    body, dropped = told(quirks, asking(sampling=chat_pb2.SamplingOptions(max_output_tokens=5, seed=7)))
    assert (body["max_tokens"], body["random_seed"], dropped) == (5, 7, [])
    assert body.keys().isdisjoint({"max_completion_tokens", "seed"})


def test_a_field_that_is_there_under_its_new_name_stays_as_it_is() -> None:
    chat = asking(sampling=chat_pb2.SamplingOptions(max_output_tokens=5, max_tokens=3))
    body, _ = told(Quirks(renames={"max_completion_tokens": "max_tokens"}), chat)
    assert body["max_tokens"] == 3
    assert "max_completion_tokens" not in body


@pytest.mark.parametrize(
    ("refused", "chat", "path"),
    [
        ("logprobs", asking(sampling=chat_pb2.SamplingOptions(logprobs=True)), "chat.sampling.logprobs"),
        ("stop", asking(sampling=chat_pb2.SamplingOptions(stop=["x"])), "chat.sampling.stop"),
        ("n", asking(choice_count=2), "chat.choice_count"),
        ("service_tier", asking(service_tier="flex"), "chat.service_tier"),
        ("prediction", asking(extra_json=b'{"prediction":{}}'), "chat.prediction"),
    ],
)
def test_what_the_server_does_not_take_is_refused_by_its_place_in_the_question(
    refused: str, chat: chat_pb2.ChatRequest, path: str
) -> None:
    server = dialect(Quirks(refuses=frozenset({refused})))
    with pytest.raises(TollwayError) as caught:
        server.encode_request(chat, "m", False, Unsaid())
    assert caught.value.reason is Reason.UNSUPPORTED_FEATURE
    assert [violation.field for violation in caught.value.violations] == [path]
    body, dropped = told(Quirks(refuses=frozenset({refused})), chat)
    assert refused not in body
    assert dropped == [path]


def test_a_hint_that_the_server_does_not_take_is_left_out_unasked() -> None:
    unsaid = Unsaid()
    encoded = dialect(Quirks(ignores=frozenset({"user"}))).encode_request(asking(user="ann"), "m", False, unsaid)
    assert "user" not in json.loads(encoded.body)
    assert unsaid.dropped == ["chat.user"]


def test_the_developer_speaks_as_the_system_where_only_that_is_known() -> None:
    message = chat_pb2.Message(role=chat_pb2.ROLE_DEVELOPER, content=[chat_pb2.ContentPart(text="Be brief.")])
    body, _ = told(Quirks(developer_role=False), asking(message))
    assert body["messages"] == [{"role": "system", "content": "Be brief."}]


def test_a_stream_s_usage_is_asked_of_whom_it_may_be_asked_of() -> None:
    assert told(Quirks(), asking(), stream=True)[0]["stream_options"] == {"include_usage": True}
    body, _ = told(Quirks(stream_options=False), asking(), stream=True)
    assert body["stream"] is True
    assert "stream_options" not in body


def test_earlier_thinking_stands_where_the_server_looks_for_it() -> None:
    body, dropped = told(Quirks(reasoning_field="reasoning"), asking(thinking(text="Hm.")))
    assert body["messages"][0]["reasoning"] == "Hm."
    assert dropped == []


def test_a_strict_server_is_told_nothing_of_thinking() -> None:
    body, dropped = told(Quirks(reasoning_field=""), asking(thinking(text="Hm.", signature="s", issuer="openai")))
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    assert body["messages"] == [{"role": "assistant", "content": None, "tool_calls": [call]}]
    assert dropped == ["chat.messages[0].content[0]", "chat.messages[0].tool_calls[0].signature"]


@pytest.mark.parametrize("quirks", [Quirks(), Quirks(reasoning_details=True)])
def test_a_proof_goes_back_to_whom_it_came_from(quirks: Quirks) -> None:
    body, dropped = told(quirks, asking(thinking(text="Hm.", signature="s", issuer="openai")))
    said = body["messages"][0]
    assert said["reasoning_details"] == [{"type": "reasoning.text", "text": "Hm.", "signature": "s"}]
    assert said["reasoning_content"] == "Hm."
    assert dropped == []


@pytest.mark.parametrize("quirks", [Quirks(), Quirks(reasoning_details=True)])
def test_a_proof_that_somebody_else_issued_is_left_out_with_what_it_proves(quirks: Quirks) -> None:
    body, dropped = told(quirks, asking(thinking(text="Hm.", signature="s", issuer="anthropic")))
    assert body["messages"][0].keys() == {"role", "content", "tool_calls"}
    assert dropped == ["chat.messages[0].content[0]"]


def test_calls_and_their_answers_have_ids_of_the_length_that_the_server_wants() -> None:
    ids = ("call_abcdefghijkl", "call_abcdefghijkm", "D681PevKs", "äöüßäöüßä")
    calls = [chat_pb2.ToolCall(id=each, name="f", arguments="{}") for each in ids]
    chat = asking(chat_pb2.Message(role=chat_pb2.ROLE_ASSISTANT, tool_calls=calls))
    for each in ids:
        chat.messages.add(role=chat_pb2.ROLE_TOOL, tool_call_id=each).content.add(text="42")

    first, *answers = told(Quirks(tool_id_length=9), chat)[0]["messages"]

    told_ids = [call["id"] for call in first["tool_calls"]]
    assert told_ids == [answer["tool_call_id"] for answer in answers]
    assert len(set(told_ids)) == len(ids)
    assert all(re.fullmatch("[a-zA-Z0-9]{9}", each) for each in told_ids)
    assert told_ids[2] == "D681PevKs"
    assert told(Quirks(), chat)[0]["messages"][1]["tool_call_id"] == ids[0]


def test_how_much_is_thought_stands_in_one_object_where_the_server_has_one() -> None:
    chat = asking(reasoning_effort="low", reasoning_budget_tokens=512, extra_json=b'{"reasoning":{"exclude":true}}')
    body, dropped = told(Quirks(reasoning_object=True), chat)
    assert body["reasoning"] == {"exclude": True, "effort": "low", "max_tokens": 512}
    assert "reasoning_effort" not in body
    assert dropped == []


def test_a_prefix_worth_keeping_is_marked_where_the_server_takes_marks() -> None:
    marked = chat_pb2.ContentPart(text="Hi", cache_control=chat_pb2.CacheControl(lifetime="1h"))
    tool = chat_pb2.ToolDefinition(name="f", cache_control=chat_pb2.CacheControl())
    chat = asking(chat_pb2.Message(role=chat_pb2.ROLE_USER, content=[marked]), tools=[tool])
    body, dropped = told(Quirks(cache_control=True), chat)
    part = {"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    assert body["messages"][0]["content"] == [part]
    assert body["tools"][0]["cache_control"] == {"type": "ephemeral"}
    assert dropped == []
    body, dropped = told(Quirks(), chat)
    assert body["messages"][0]["content"] == "Hi"
    assert dropped == ["chat.messages[0].content[0].cache_control", "chat.tools[0].cache_control"]


def test_quirks_hold_for_embeddings_too() -> None:
    request = embedding_pb2.EmbeddingRequest(dimensions=3, inputs=[embedding_pb2.EmbeddingInput(text="a")])
    server: Any = dialect(Quirks(refuses=frozenset({"dimensions"})))
    with pytest.raises(TollwayError, match=r"embedding\.dimensions"):
        server.encode_embeddings(request, "m", Unsaid())


def test_earlier_thinking_is_a_part_of_its_message_where_the_server_has_it_so() -> None:
    quirks = Quirks(reasoning_field="", reasoning_parts=True)
    chat = asking(thinking(text="Hm.", signature="s", issuer="openai"), thinking(text="Ah.", signature="s", issuer="a"))
    body, dropped = told(quirks, chat)
    assert body["messages"][0]["content"] == [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}]
    assert body["messages"][1]["content"] is None
    assert [path for path in dropped if "tool_calls" not in path] == [
        "chat.messages[0].content[0].reasoning.signature",
        "chat.messages[1].content[0]",
    ]
