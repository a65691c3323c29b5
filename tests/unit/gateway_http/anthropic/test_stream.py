from __future__ import annotations

from typing import Any

import pytest

from mesh.errors import Reason, TollwayError
from tests.unit.gateway_http.anthropic.reading import (
    RECEIPT,
    STOP,
    TOLD,
    encoder,
    events,
    put_together,
    stream,
    stream_of,
)
from tollway.chat.v1 import chat_pb2 as pb

USAGE = pb.Usage(input_tokens=9, output_tokens=3, cached_input_tokens=4)
TOOLS = pb.FINISH_REASON_TOOL_CALLS


def kinds(told: list[Any]) -> list[str]:
    return [event["type"] for event in told]


def blocks_of(*deltas: pb.Delta, dialect: str = "") -> Any:
    """The blocks that the SDK puts together."""
    return put_together(stream_of(*deltas, dialect=dialect))["content"]


def call(index: int = 0, **fields: Any) -> pb.Delta:
    return pb.Delta(tool_calls=[pb.ToolCallDelta(index=index, **fields)])


def test_a_stream_is_a_start_a_block_and_an_end() -> None:
    chunk = pb.ChatChunk(id="msg_1", model="claude-1", dialect="anthropic", usage=pb.Usage(input_tokens=9))
    chunk.deltas.extend([pb.Delta(role=pb.ROLE_ASSISTANT), pb.Delta(text="Hel"), pb.Delta(text="lo")])

    told = stream([chunk, pb.ChatChunk(deltas=[pb.Delta(finish_reason=STOP)], usage=USAGE)])

    assert kinds(told) == [
        "message_start", "ping", "content_block_start", "content_block_delta", "content_block_delta",
        "content_block_stop", "message_delta", "message_stop",
    ]  # fmt: skip
    start = told[0]["message"]
    assert (start["id"], start["model"], start["role"], start["content"]) == ("msg_1", "claude-1", "assistant", [])
    assert (start["stop_reason"], start["usage"]["input_tokens"]) == (None, 9)
    assert told[2] == {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    assert [event["delta"]["text"] for event in told[3:5]] == ["Hel", "lo"]
    assert told[-2]["delta"] == {"stop_reason": "end_turn", "stop_sequence": None}
    assert (told[-2]["usage"]["input_tokens"], told[-2]["usage"]["cache_read_input_tokens"]) == (5, 4)
    assert told[-2]["tollway"] == TOLD
    assert told[-1] == {"type": "message_stop"}
    assert put_together(told)["content"] == [{"type": "text", "text": "Hello"}]


def test_text_is_not_kept_back_and_the_end_is() -> None:
    making = encoder()

    assert b'"text":"a"' in making.encode(pb.ChatChunk(deltas=[pb.Delta(text="a")]))
    assert making.encode(pb.ChatChunk(deltas=[pb.Delta(finish_reason=STOP)])) == b""


@pytest.mark.parametrize("part", [0, 2])
def test_a_piece_of_text_is_the_same_event_by_either_way(part: int) -> None:
    making = encoder()
    making.encode(pb.ChatChunk(deltas=[pb.Delta(text="a", part=part)]))

    short = making.encode(pb.ChatChunk(deltas=[pb.Delta(text='"b"', part=part)]))
    long = making.encode(pb.ChatChunk(deltas=[pb.Delta(text='"b"', part=part, role=pb.ROLE_ASSISTANT)]))

    assert short == long
    assert events(short) == [
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": '"b"'}}
    ]


def test_usage_that_is_not_known_is_not_made_up() -> None:
    told = stream_of(pb.Delta(text="Hi"))

    assert told[-2]["usage"] == {"input_tokens": 0, "output_tokens": 0, "known": False}
    assert "known" not in told[0]["message"]["usage"]
    assert put_together(told)


def test_the_last_usage_given_counts() -> None:
    chunks = [
        pb.ChatChunk(deltas=[pb.Delta(text="Hi")], usage=pb.Usage(output_tokens=1)),
        pb.ChatChunk(deltas=[pb.Delta(finish_reason=STOP)]),
        pb.ChatChunk(usage=pb.Usage(output_tokens=7), service_tier="default"),
    ]

    told = stream(chunks)[-2]["usage"]

    assert (told["output_tokens"], told["service_tier"]) == (7, "standard")


def test_what_a_provider_leaves_out_is_filled_in() -> None:
    making = encoder()
    making.stand_in("req_0")

    start = events(making.encode(pb.ChatChunk(deltas=[pb.Delta(text="Hi")])))[0]["message"]

    assert (start["id"], start["model"]) == ("msg_req_0", "claude")


@pytest.mark.parametrize(
    "deltas", [[], [pb.Delta(text="a")], [pb.Delta(text="a"), pb.Delta(index=1, finish_reason=STOP)]]
)
def test_a_stream_that_is_cut_is_never_given_an_end(deltas: list[pb.Delta]) -> None:
    making = encoder()
    making.encode(pb.ChatChunk(deltas=deltas))

    with pytest.raises(TollwayError) as raised:
        making.finish(RECEIPT, "0af7")

    assert raised.value.reason is Reason.UPSTREAM_CUT


def test_of_several_choices_the_first_is_told() -> None:
    assert blocks_of(pb.Delta(text="a"), pb.Delta(index=1, text="x"), pb.Delta(text="b"))[0]["text"] == "ab"


def test_thinking_comes_before_the_text_with_its_proof() -> None:
    thought = [
        pb.ReasoningPart(text="H"),
        pb.ReasoningPart(text="m."),
        pb.ReasoningPart(signature="c", issuer="gemini"),
    ]

    told = stream_of(*[pb.Delta(reasoning=part) for part in thought], pb.Delta(text="Hi"))

    assert put_together(told)["content"] == [
        {"type": "thinking", "thinking": "Hm.", "signature": "tollway:gemini:c"},
        {"type": "text", "text": "Hi"},
    ]
    assert [event["delta"]["type"] for event in told if event["type"] == "content_block_delta"] == [
        "thinking_delta", "thinking_delta", "signature_delta", "text_delta",
    ]  # fmt: skip


def test_a_proof_ends_a_thought() -> None:
    parts = [pb.ReasoningPart(text="a", signature="1"), pb.ReasoningPart(text="b", signature="2")]

    made = blocks_of(*[pb.Delta(reasoning=part) for part in parts], dialect="anthropic")

    assert [(block["thinking"], block["signature"]) for block in made] == [("a", "1"), ("b", "2")]


def test_sealed_thinking_is_a_block_of_its_own() -> None:
    sealed = pb.ReasoningPart(redacted=b"EmwK", issuer="anthropic")

    assert blocks_of(pb.Delta(reasoning=sealed), pb.Delta(text="Hi")) == [
        {"type": "redacted_thinking", "data": "EmwK"},
        {"type": "text", "text": "Hi"},
    ]


def test_parts_that_a_provider_tells_apart_are_blocks() -> None:
    told = stream_of(pb.Delta(text="a", part=1), pb.Delta(text="b", part=2), pb.Delta(text="c", part=2))

    assert [block["text"] for block in put_together(told)["content"]] == ["a", "bc"]
    assert [event["index"] for event in told if event["type"] == "content_block_stop"] == [0, 1]


def test_citations_of_a_text_that_others_have_followed_stand_with_the_last() -> None:
    cited = pb.Citation(type="web", url="https://a.example", answer_start=0, answer_end=1)

    made = blocks_of(pb.Delta(text="a"), pb.Delta(text="b", part=1), pb.Delta(citations=[cited]), dialect="gemini")

    assert [(block["text"], len(block.get("citations") or [])) for block in made] == [("a", 0), ("b", 1)]
    assert "answer_start_index" not in made[1]["citations"][0]


def test_citations_belong_to_the_text_they_come_with() -> None:
    cited = pb.Citation(type="char_location", cited_text="c", document_index=0, source_start=0, source_end=1)

    made = blocks_of(pb.Delta(text="a"), pb.Delta(citations=[cited]), pb.Delta(text="b", part=1), dialect="anthropic")

    assert [len(block.get("citations") or []) for block in made] == [1, 0]
    assert made[0]["citations"][0]["end_char_index"] == 1


def test_a_refusal_is_a_text_and_the_reason_why_it_ended() -> None:
    made = put_together(stream_of(pb.Delta(refusal="No"), pb.Delta(refusal=".")))

    assert made["content"] == [{"type": "text", "text": "No."}]
    assert made["stop_reason"] == "refusal"


def test_parts_that_come_whole_are_blocks_that_do() -> None:
    searched = pb.ContentPart(
        extra_json=b'{"type":"server_tool_use","id":"s","name":"web_search","input":{"query":"q"}}'
    )

    made = blocks_of(pb.Delta(text="a"), pb.Delta(parts=[searched]), pb.Delta(text="b"), dialect="anthropic")

    assert [block["type"] for block in made] == ["text", "server_tool_use", "text"]
    assert made[1]["input"] == {"query": "q"}


def test_arguments_pass_piece_by_piece() -> None:
    making = encoder()
    making.encode(pb.ChatChunk(deltas=[call(id="toolu_1", type="function", name="f", signature="s")]))

    assert events(making.encode(pb.ChatChunk(deltas=[call(arguments='{"ci')]))) == [
        {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": '{"ci'}}
    ]


def test_a_call_begins_with_its_name_and_ends_with_its_input() -> None:
    told = stream_of(
        pb.Delta(text="Let me see."),
        call(id="toolu_1", type="function", name="f", signature="s"),
        call(arguments='{"city":'),
        call(arguments='"Ulm"}'),
        pb.Delta(finish_reason=TOOLS),
    )
    made = put_together(told)

    begun = [event["content_block"] for event in told if event["type"] == "content_block_start"][1]
    assert begun == {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}, "signature": "s"}
    assert (made["content"][1]["input"], made["stop_reason"]) == ({"city": "Ulm"}, "tool_use")


def test_calls_that_arrive_side_by_side_are_told_one_after_the_other() -> None:
    told = stream_of(
        call(0, id="a", name="f", arguments='{"x":'),
        call(1, id="b", name="g", arguments='{"y"'),
        call(0, arguments="1}"),
        call(1, arguments=":2}"),
        call(2, id="c", name="h"),
        pb.Delta(finish_reason=TOOLS),
    )

    assert [(block["id"], block["name"], block["input"]) for block in put_together(told)["content"]] == [
        ("a", "f", {"x": 1}), ("b", "g", {"y": 2}), ("c", "h", {}),
    ]  # fmt: skip
    opened = [(event["type"], event["index"]) for event in told if "content_block_st" in event["type"]]
    assert opened == [(f"content_block_{what}", index) for index in range(3) for what in ("start", "stop")]


def test_a_second_call_is_not_kept_back_once_the_first_is_whole() -> None:
    making = encoder()
    making.encode(pb.ChatChunk(deltas=[call(0, id="a", name="f", arguments='{"x":"}"}')]))

    told = events(making.encode(pb.ChatChunk(deltas=[call(1, id="b", name="g", arguments='{"y"')])))

    assert kinds(told) == ["content_block_stop", "content_block_start", "content_block_delta"]


def test_text_between_the_pieces_of_a_call_waits_for_it() -> None:
    made = blocks_of(call(id="a", name="f", arguments="{"), pb.Delta(text="Hm."), call(arguments="}"))

    assert [block["type"] for block in made] == ["tool_use", "text"]
    assert made[0]["input"] == {}


def test_white_space_around_arguments_does_no_harm() -> None:
    made = blocks_of(
        call(0, id="a", name="f", arguments=" \n"), call(0, arguments=' {"x":1}\n'),
        call(1, id="b", name="g", arguments="{}"), call(0, arguments=" \n"), call(0),
    )  # fmt: skip

    assert [block["input"] for block in made] == [{"x": 1}, {}]


def test_arguments_that_go_on_after_their_end_are_an_error_and_not_lost() -> None:
    making = encoder()
    making.encode(pb.ChatChunk(deltas=[call(0, id="a", name="f", arguments="{}"), call(1, id="b", name="g")]))

    with pytest.raises(TollwayError) as raised:
        making.encode(pb.ChatChunk(deltas=[call(0, arguments="{}")]))

    assert raised.value.reason is Reason.UPSTREAM_MALFORMED


def test_arguments_that_are_no_json_are_told_as_they_are() -> None:
    told = stream_of(call(id="a", name="f", arguments='{"x": oops'), pb.Delta(finish_reason=TOOLS))

    pieces = [event["delta"]["partial_json"] for event in told if event["type"] == "content_block_delta"]
    assert pieces == ['{"x": oops']
    assert kinds(told)[-3:] == ["content_block_stop", "message_delta", "message_stop"]


def test_what_a_call_is_said_to_have_later_is_a_piece_of_it() -> None:
    late = call(signature="s", extra_json=b'{"x":1}')

    told = stream_of(call(id="a", name="f", arguments="{}"), late, pb.Delta(finish_reason=TOOLS))

    assert [event["delta"] for event in told if event["type"] == "content_block_delta"][1:] == [
        {"type": "signature_delta", "signature": "s"},
        {"type": "input_json_delta", "partial_json": "", "openai": {"x": 1}},
    ]


def test_a_call_without_an_id_is_given_one() -> None:
    made = blocks_of(call(0, name="f", arguments="{}"), call(1, name="g", arguments="{}"))

    assert len({block["id"] for block in made}) == 2


def test_a_sequence_that_ended_the_answer_is_named() -> None:
    made = put_together(stream_of(pb.Delta(text="a"), pb.Delta(finish_reason=STOP, stop_sequence="END")))

    assert (made["stop_reason"], made["stop_sequence"]) == ("stop_sequence", "END")


def test_what_anthropic_itself_says_stands_at_the_start_or_the_end() -> None:
    chunks = [
        pb.ChatChunk(dialect="anthropic", extra_json=b'{"diagnostics":null,"id":"x"}', deltas=[pb.Delta(text="a")]),
        pb.ChatChunk(
            deltas=[
                pb.Delta(
                    finish_reason=STOP,
                    choice_extra_json=b'{"stop_details":{"type":"refusal"},"container":{"id":"c"},"stop_reason":"x"}',
                )
            ]
        ),
        pb.ChatChunk(extra_json=b'{"context_management":{"applied_edits":[]},"type":"x"}'),
    ]

    told = stream(chunks)

    assert told[0]["message"]["id"] == "msg_req_1"
    assert told[0]["message"]["diagnostics"] is None
    assert told[-2]["delta"] == {
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "stop_details": {"type": "refusal"},
        "container": {"id": "c"},
    }
    assert told[-2]["context_management"] == {"applied_edits": []}


def test_what_is_new_in_a_block_stands_where_it_stood() -> None:
    told = stream_of(
        pb.Delta(extra_json=b'{"a":1}'),
        pb.Delta(text="x"),
        pb.Delta(extra_json=b'{"type":"new_delta","b":2}'),
        pb.Delta(part=1, extra_json=b'{"c":3}', reasoning=pb.ReasoningPart(redacted=b"E")),
        dialect="anthropic",
    )

    begun = [event["content_block"] for event in told if event["type"] == "content_block_start"]
    assert begun == [{"type": "text", "text": "", "a": 1}, {"type": "redacted_thinking", "data": "E", "c": 3}]
    assert [event["delta"] for event in told if event["type"] == "content_block_delta"] == [
        {"type": "text_delta", "text": "x"},
        {"type": "new_delta", "b": 2},
    ]


def test_what_another_dialect_says_is_told_under_its_name_when_it_comes() -> None:
    chunks = [
        pb.ChatChunk(extra_json=b'{"prompt_filter_results":[]}', deltas=[pb.Delta(text="a")], system_fingerprint="fp"),
        pb.ChatChunk(deltas=[pb.Delta(extra_json=b'{"audio":{"data":"AA=="}}', choice_extra_json=b'{"f":1}')]),
        pb.ChatChunk(deltas=[pb.Delta(text="b")], extra_json=b'{"obfuscation":"x"}'),
        pb.ChatChunk(deltas=[pb.Delta(finish_reason=STOP)]),
    ]

    told = stream(chunks)

    assert told[0]["message"]["openai"] == {"prompt_filter_results": [], "system_fingerprint": "fp"}
    assert [event for event in told if event["type"] == "ping"][1] == {
        "type": "ping", "openai": {"audio": {"data": "AA=="}, "f": 1},
    }  # fmt: skip
    assert told[-2]["openai"] == {"obfuscation": "x"}
    assert put_together(told)["content"][0]["text"] == "ab"


def test_nothing_from_upstream_displaces_the_receipt() -> None:
    making = encoder()
    chunk = pb.ChatChunk(dialect="anthropic", deltas=[pb.Delta(text="a")])
    late = pb.ChatChunk(extra_json=b'{"tollway":{"cost_usd":9},"type":"x"}', deltas=[pb.Delta(finish_reason=STOP)])

    told = events(making.encode(chunk) + making.encode(late) + making.finish(RECEIPT, "0af7"))

    assert told[-2]["tollway"] == TOLD
    assert making.finish(RECEIPT, "0af7").count(b'"tollway"') == 1


@pytest.mark.parametrize("character", ["\x85", "\u2028", "\u2029"])
def test_no_event_has_a_character_at_which_some_readers_break_lines(character: str) -> None:
    text = f"a{character}é"

    told = stream_of(pb.Delta(text=text), pb.Delta(text=text), pb.Delta(finish_reason=STOP, stop_sequence=character))

    assert put_together(told)["content"][0]["text"] == text * 2
    assert character not in encoder().encode(pb.ChatChunk(deltas=[pb.Delta(text=text)])).decode()
