"""Whatever a model says, and however it is cut: what OpenAI's own SDK makes of the events is what was said."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk

from gateway_http import openai_chat
from gateway_http.dialect import Identity
from gateway_http.openai_chat.stream import ChunkEncoder
from tests.unit.gateway_http.edge import events
from tests.unit.gateway_http.spoken import Spoken, answers, cut, mixed
from tollway.chat.v1 import chat_pb2 as pb
from tollway.router.v1.router_pb2 import Receipt


def accumulate(chunks: list[pb.ChatChunk]) -> Any:
    """The message that the SDK puts together, once its own types have found nothing wrong with any event."""
    making = ChunkEncoder(Identity("req_1", "gpt-4o", 1_700_000_000.5), include_usage=True)
    state: ChatCompletionStreamState[None] = ChatCompletionStreamState()
    for event in events(b"".join(map(making.encode, chunks)) + making.finish(Receipt(), "0af7"))[:-1]:
        for _ in state.handle_chunk(ChatCompletionChunk.model_validate(event, strict=True)):
            pass
    return state.get_final_completion()


@settings(max_examples=40, deadline=None)
@given(answers(), st.data())
def test_what_is_accumulated_is_what_was_said(spoken: Spoken, data: st.DataObject) -> None:
    answer = accumulate(cut(spoken, data))

    (choice,) = answer.choices
    check(choice, spoken)
    assert answer.usage.completion_tokens == 3


@settings(max_examples=30, deadline=None)
@given(st.lists(answers(), min_size=2, max_size=3), st.data())
def test_choices_that_come_mixed_are_kept_apart(choices: list[Spoken], data: st.DataObject) -> None:
    answer = accumulate(mixed(choices, data))

    assert [choice.index for choice in answer.choices] == list(range(len(choices)))
    for choice, spoken in zip(answer.choices, choices, strict=True):
        check(choice, spoken)


def check(choice: Any, spoken: Spoken) -> None:
    message = choice.message
    assert (message.content or "") == spoken.text
    assert (message.refusal or "") == spoken.refusal
    assert message.to_dict().get("reasoning_content", "") == spoken.thinking
    calls = [(call.id, call.function.name, call.function.arguments) for call in message.tool_calls or ()]
    assert calls == spoken.calls
    assert choice.finish_reason == ("tool_calls" if spoken.calls else "stop")
    proofs = [detail.get("signature") for detail in message.to_dict().get("reasoning_details", [])]
    assert [proof for proof in proofs if proof] == [f"tollway:anthropic:{proof}" for proof in spoken.proofs]


def test_an_answer_that_was_accumulated_can_be_sent_back_to_anyone() -> None:
    call = pb.ToolCallDelta(index=0, id="c_1", type="function", name="f", arguments='{"a":1}')
    deltas = [pb.Delta(role=pb.ROLE_ASSISTANT, text="{}"), pb.Delta(tool_calls=[call])]
    deltas.append(pb.Delta(finish_reason=pb.FINISH_REASON_TOOL_CALLS))

    message = accumulate([pb.ChatChunk(deltas=[delta]) for delta in deltas]).choices[0].message
    message.tool_calls[0].function.parsed_arguments = {"a": 1}
    sent = {**message.model_dump(mode="json"), "parsed": {}}
    read = openai_chat.decode({"model": "m", "messages": [sent]}, max_messages=1).request.chat.messages[0]

    assert sent["tool_calls"][0]["index"] == 0
    assert read == pb.Message(
        role=pb.ROLE_ASSISTANT,
        content=[pb.ContentPart(text="{}")],
        tool_calls=[pb.ToolCall(id="c_1", type="function", name="f", arguments='{"a":1}')],
    )
