"""Whatever a model says, and however it is cut: what OpenAI's own SDK makes of the events is what was said."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from openai import omit
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from gateway_http.dialect import Identity
from gateway_http.openai_responses.response import encode_response
from gateway_http.openai_responses.settings import settings_json
from gateway_http.openai_responses.stream import EventEncoder
from tests.unit.gateway_http.spoken import Spoken, answers, cut
from tollway.chat.v1 import chat_pb2 as pb
from tollway.router.v1.router_pb2 import Receipt

EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
IDENTITY = Identity("req_1", "gpt-4o", 1_700_000_000.5)


def events_of(chunks: list[pb.ChatChunk]) -> list[Any]:
    making = EventEncoder(IDENTITY, settings_json({}))
    raw = b"".join(map(making.encode, chunks)) + making.finish(Receipt(), "0af7")
    events = raw.decode().removesuffix("\n\n").split("\n\n")
    return [json.loads(event.split("\n")[1].removeprefix("data: ")) for event in events]


def accumulate(events: list[Any]) -> tuple[Any, Any]:
    """What the SDK has put together of the pieces, and what the last event says the answer is."""
    state: ResponseStreamState[None] = ResponseStreamState(input_tools=omit, text_format=omit)
    for event in events:
        state.handle_event(EVENT.validate_python(event, strict=True))
    snapshot: Any = vars(state)["_ResponseStreamState__current_snapshot"]
    return snapshot, state._completed_response


def texts_of(output: list[Any]) -> list[str]:
    parts = [part for item in output if item.type == "message" for part in item.content]
    return [part.text for part in parts if part.type == "output_text"]


@settings(max_examples=25, deadline=None)
@given(answers(), st.data())
def test_what_is_accumulated_is_what_was_said(spoken: Spoken, data: st.DataObject) -> None:
    snapshot, answer = accumulate(events_of(cut(spoken, data)))

    assert answer.output_text == spoken.text
    assert "".join(texts_of(snapshot.output)) == spoken.text
    refusals = [part.refusal for item in answer.output if item.type == "message" for part in item.content
                if part.type == "refusal"]  # fmt: skip
    assert "".join(refusals) == spoken.refusal
    thoughts = [item for item in answer.output if item.type == "reasoning"]
    assert "".join(said.text for item in thoughts for said in item.summary) == spoken.thinking
    proofs = [item.encrypted_content for item in thoughts if item.encrypted_content]
    assert proofs == [f"tollway:anthropic:signature:{proof}" for proof in spoken.proofs]
    for output in (snapshot.output, answer.output):
        calls = [item for item in output if item.type == "function_call"]
        assert [(call.call_id, call.name, call.arguments) for call in calls] == spoken.calls
    assert answer.usage.output_tokens == 3


@settings(max_examples=25, deadline=None)
@given(answers(), st.data())
def test_a_stream_comes_to_what_the_whole_answer_is(spoken: Spoken, data: st.DataObject) -> None:
    content = [
        pb.ContentPart(reasoning=pb.ReasoningPart(text=text, signature=proof, issuer="anthropic"))
        for text, proof in spoken.thoughts
    ]
    for kind, text in spoken.said:
        before = content[-1] if content else pb.ContentPart()
        if before.WhichOneof("part") == kind:
            setattr(before, kind, getattr(before, kind) + text)
        else:
            content.append(pb.ContentPart(text=text) if kind == "text" else pb.ContentPart(refusal=text))
    calls = [pb.ToolCall(id=at, type="function", name=name, arguments=given) for at, name, given in spoken.calls]
    message = pb.Message(role=pb.ROLE_ASSISTANT, content=content, tool_calls=calls)
    chat = pb.ChatResponse(choices=[pb.Choice(message=message, finish_reason=pb.FINISH_REASON_STOP)])

    whole = json.loads(encode_response(chat, IDENTITY, settings_json({})))

    assert Response.model_validate(whole, strict=True)
    assert events_of(cut(spoken, data))[-1]["response"]["output"] == whole["output"]
