from __future__ import annotations

import orjson

from services.router.domain.answer import Answer
from services.router.domain.assembled import Assembled, assembled
from tests.unit.services.router.twins import STOP, USAGE, finish, role, text, usage
from tollway.chat.v1.chat_pb2 import (
    ROLE_ASSISTANT,
    ChatChunk,
    ChatResponse,
    Choice,
    ContentPart,
    Delta,
    Logprobs,
    Message,
    ReasoningPart,
    TokenLogprob,
    ToolCall,
    ToolCallDelta,
)


def whole(*chunks: ChatChunk, choices: int = 1) -> ChatResponse:
    """As the router puts an answer together: what may go out, and the ending."""
    answer: Answer = Assembled(choices)
    passed = [chunk for each in chunks if (chunk := answer.take(each)) is not None]
    return assembled((*passed, answer.ending()))


def one(*deltas: Delta) -> Choice:
    return whole(ChatChunk(id="c", model="m", deltas=deltas)).choices[0]


def test_text_is_joined_and_the_usage_and_names_are_kept() -> None:
    answer = whole(role(), text("Hel"), text("lo"), finish(), usage())
    message = Message(role=ROLE_ASSISTANT, content=[ContentPart(text="Hello")])
    expected = ChatResponse(
        id="chat-1", model="m-2026", choices=[Choice(message=message, finish_reason=STOP)], usage=USAGE
    )
    assert answer == expected


def test_choices_are_put_in_order() -> None:
    answer = whole(text("b", 1), text("a", 0), finish(1), text("A", 0), finish(0), choices=2)
    assert [choice.message.content[0].text for choice in answer.choices] == ["aA", "b"]
    assert [choice.finish_reason for choice in answer.choices] == [STOP, STOP]


def test_thinking_comes_before_what_is_said() -> None:
    choice = one(
        Delta(reasoning=ReasoningPart(text="Hm")),
        Delta(reasoning=ReasoningPart(text="m", signature="s")),
        Delta(text="Yes"),
        Delta(finish_reason=STOP),
    )
    assert [part.WhichOneof("part") for part in choice.message.content] == ["reasoning", "text"]
    assert choice.message.content[0].reasoning == ReasoningPart(text="Hmm", signature="s")


def test_a_refusal_stands_alone() -> None:
    choice = one(Delta(refusal="I "), Delta(refusal="cannot"), Delta(finish_reason=STOP))
    assert [part.refusal for part in choice.message.content] == ["I cannot"]


def test_tool_calls_are_put_together_and_no_empty_text_stands_beside_them() -> None:
    choice = one(
        Delta(tool_calls=[ToolCallDelta(index=0, id="t0", type="function", name="look", arguments='{"a"')]),
        Delta(tool_calls=[ToolCallDelta(index=1, id="t1", type="function", name="find", extra_json=b'{"x": "p"}')]),
        Delta(tool_calls=[ToolCallDelta(index=0, arguments=": 1}"), ToolCallDelta(index=1, extra_json=b'{"x": "q"}')]),
        Delta(finish_reason=STOP, native_finish_reason="done"),
    )
    assert list(choice.message.tool_calls) == [
        ToolCall(id="t0", type="function", name="look", arguments='{"a": 1}'),
        ToolCall(id="t1", type="function", name="find", extra_json=b'{"x":"pq"}'),
    ]
    assert not choice.message.content
    assert choice.native_finish_reason == "done"


def test_an_empty_answer_is_an_empty_text() -> None:
    assert [part.text for part in one(Delta(role=ROLE_ASSISTANT), Delta(finish_reason=STOP)).message.content] == [""]


def test_log_probabilities_go_on() -> None:
    drawn = [Logprobs(content=[TokenLogprob(token=token, logprob=-1)]) for token in "ab"]
    choice = one(*(Delta(text="x", logprobs=each) for each in drawn), Delta(finish_reason=STOP))
    assert [each.token for each in choice.logprobs.content] == ["a", "b"]


def test_what_has_no_field_is_put_together_by_its_shape() -> None:
    pieces = [
        {"note": "a", "type": "t", "list": [1], "parts": [{"index": 0, "text": "x"}], "deep": {"s": "1"}, "n": 1},
        {"note": "b", "type": "t", "list": [2], "parts": [{"index": 0, "text": "y"}, {"index": 1}], "deep": {"s": "2"}},
        {"n": 2, "note": None},
    ]
    deltas = [Delta(text="x", extra_json=orjson.dumps(piece), choice_extra_json=b'{"k":"v"}') for piece in pieces]
    choice = one(*deltas, Delta(finish_reason=STOP))
    assert orjson.loads(choice.message.extra_json) == {
        "note": "ab",
        "type": "t",
        "list": [1, 2],
        "parts": [{"index": 0, "text": "xy"}, {"index": 1}],
        "deep": {"s": "12"},
        "n": 2,
    }
    assert orjson.loads(choice.extra_json) == {"k": "v"}


def test_nothing_of_it_goes_out_before_it_is_whole() -> None:
    answer = Assembled(1)
    answer.take(text("Hel"))
    assert answer.begun
    assert not answer.committed
