from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway_http.dialect import Identity
from gateway_http.openai_completions.stream import TextEncoder
from mesh.errors import Reason, TollwayError
from tests.unit.gateway_http.edge import events
from tollway.chat.v1 import chat_pb2 as pb
from tollway.router.v1.router_pb2 import Receipt

RECEIPT = Receipt(deployment="openai/gpt-4o", attempts=1, cost_nanos=10_000_000)
TOLD = {"cost_usd": 0.01, "deployment": "openai/gpt-4o", "attempts": 1, "trace_id": "0af7"}
STOP = pb.FINISH_REASON_STOP
USAGE = pb.Usage(input_tokens=9, output_tokens=3)


def encoder(echo: str = "", *, include_usage: bool = False) -> TextEncoder:
    return TextEncoder(Identity("req_1", "gpt-4o", 1_700_000_000.5), echo, include_usage=include_usage)


def stream(chunks: Sequence[pb.ChatChunk], echo: str = "", *, include_usage: bool = False) -> list[Any]:
    making = encoder(echo, include_usage=include_usage)
    return events(b"".join(making.encode(chunk) for chunk in chunks) + making.finish(RECEIPT, "0af7"))


def test_a_stream_is_texts_then_an_end_that_says_how_it_came_about() -> None:
    chunk = pb.ChatChunk(
        id="chatcmpl-1",
        model="gpt-4o-2024-08-06",
        deltas=[pb.Delta(role=pb.ROLE_ASSISTANT), pb.Delta(text=" up"), pb.Delta(text="on")],
        system_fingerprint="fp_1",
    )

    *made, done = stream([chunk, pb.ChatChunk(deltas=[pb.Delta(finish_reason=STOP)], usage=USAGE)])

    assert done == "[DONE]"
    assert [event["choices"][0]["text"] for event in made] == [" up", "on", ""]
    assert [event["choices"][0]["finish_reason"] for event in made] == [None, None, "stop"]
    assert {(event["id"], event["object"], event["model"]) for event in made} == {
        ("chatcmpl-1", "text_completion", "gpt-4o-2024-08-06")
    }
    assert ["usage" in event for event in made] == [False] * 3
    assert [event.get("tollway") for event in made] == [None, None, TOLD]


def test_usage_is_counted_where_it_was_asked_for() -> None:
    ended = pb.ChatChunk(deltas=[pb.Delta(text=" upon"), pb.Delta(finish_reason=STOP)])

    *made, usage, done = stream([ended, pb.ChatChunk(usage=USAGE)], include_usage=True)

    assert done == "[DONE]"
    assert [event["usage"] for event in made] == [None, None]
    assert usage["choices"] == []
    assert (usage["usage"]["prompt_tokens"], usage["usage"]["completion_tokens"]) == (9, 3)
    assert usage["tollway"] == TOLD


def test_the_tier_that_was_billed_is_told() -> None:
    usage = pb.Usage(service_tier="standard")

    first, *_ = stream([pb.ChatChunk(deltas=[pb.Delta(text="Hi"), pb.Delta(finish_reason=STOP)], usage=usage)])

    assert first["service_tier"] == "default"


def test_usage_that_is_not_known_is_not_made_up() -> None:
    *_, end, _ = stream([pb.ChatChunk(deltas=[pb.Delta(text="a", finish_reason=STOP)])], include_usage=True)

    assert (end["choices"][0]["finish_reason"], end["usage"]) == ("stop", None)


def test_an_echo_comes_with_the_first_text_of_every_choice() -> None:
    deltas = [pb.Delta(text=" up"), pb.Delta(index=1, text=" more"), pb.Delta(text="on")]
    ends = [pb.Delta(finish_reason=STOP), pb.Delta(index=1, finish_reason=STOP)]

    *made, _ = stream([pb.ChatChunk(deltas=[*deltas, *ends])], "Once")

    texts = [(event["choices"][0]["index"], event["choices"][0]["text"]) for event in made]
    assert texts == [(0, "Once up"), (1, "Once more"), (0, "on"), (0, ""), (1, "")]


def test_log_probabilities_count_on_from_the_text_before() -> None:
    def drawn(token: str) -> pb.Logprobs:
        return pb.Logprobs(content=[pb.TokenLogprob(token=token, logprob=-0.5)])

    deltas = [pb.Delta(text=" up", logprobs=drawn(" up")), pb.Delta(text="on", logprobs=drawn("on"))]

    *made, _ = stream([pb.ChatChunk(deltas=[*deltas, pb.Delta(finish_reason=STOP)])], "Once")

    assert [event["choices"][0]["logprobs"]["text_offset"] for event in made[:2]] == [[4], [7]]


def test_what_is_said_beside_the_text_is_carried() -> None:
    delta = pb.Delta(
        reasoning=pb.ReasoningPart(text="Hm."), choice_extra_json=b'{"x":1}', extra_json=b'{"annotations":[{}]}'
    )

    made, *_ = stream([pb.ChatChunk(deltas=[delta, pb.Delta(finish_reason=STOP)], extra_json=b'{"y":2,"usage":{}}')])

    assert made["choices"][0] == {
        "text": "", "index": 0, "logprobs": None, "finish_reason": None,
        "reasoning_content": "Hm.", "annotations": [{"index": 0}], "x": 1,
    }  # fmt: skip
    assert made["y"] == 2
    assert "usage" not in made


def test_text_is_not_kept_back_and_the_end_is() -> None:
    making = encoder()

    assert b'"a"' in making.encode(pb.ChatChunk(deltas=[pb.Delta(text="a")]))
    assert making.encode(pb.ChatChunk(deltas=[pb.Delta(finish_reason=STOP)])) == b""


def test_what_comes_after_the_end_takes_its_place_as_the_last() -> None:
    late = pb.Delta(choice_extra_json=b'{"content_filter_results":{}}')

    *_, end, after, _ = stream([pb.ChatChunk(deltas=[pb.Delta(text="a", finish_reason=STOP), late])])

    assert (end["choices"][0]["finish_reason"], "tollway" in end) == ("stop", False)
    assert after["choices"][0]["content_filter_results"] == {}
    assert after["tollway"] == TOLD


@pytest.mark.parametrize(
    "deltas", [[], [pb.Delta(text="a")], [pb.Delta(text="a", finish_reason=STOP), pb.Delta(index=1, text="x")]]
)
def test_a_stream_that_is_cut_is_never_given_an_end(deltas: list[pb.Delta]) -> None:
    making = encoder()
    making.encode(pb.ChatChunk(deltas=deltas))

    with pytest.raises(TollwayError) as raised:
        making.finish(RECEIPT, "0af7")

    assert raised.value.reason is Reason.UPSTREAM_CUT


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.text('ab\n\u2028é😀"\\', max_size=3)), max_size=12), st.data())
def test_joined_texts_do_not_depend_on_where_the_stream_was_cut(
    pieces: list[tuple[int, str]], data: st.DataObject
) -> None:
    begun = sorted({index for index, _ in pieces} | {0})
    deltas = [pb.Delta(index=index, text=text) for index, text in pieces]
    deltas += [pb.Delta(index=index, finish_reason=STOP) for index in begun]
    chunks = [pb.ChatChunk()]
    for delta in deltas:
        if data.draw(st.booleans()):
            chunks.append(pb.ChatChunk())
        chunks[-1].deltas.append(delta)

    *made, done = stream(chunks)

    joined = dict.fromkeys(begun, "")
    for event in made:
        joined[event["choices"][0]["index"]] += event["choices"][0]["text"]
    assert joined == {index: "".join(text for i, text in pieces if i == index) for index in begun}
    assert done == "[DONE]"
    assert ["tollway" in event for event in made] == [False] * (len(made) - 1) + [True]
