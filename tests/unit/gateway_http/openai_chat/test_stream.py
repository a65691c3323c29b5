from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionChunk

from gateway_http.dialect import Identity
from gateway_http.openai_chat.stream import ChunkEncoder
from mesh.errors import Reason, TollwayError
from tests.unit.gateway_http.edge import events
from tollway.chat.v1 import chat_pb2 as pb
from tollway.router.v1.router_pb2 import Receipt

RECEIPT = Receipt(deployment="openai/gpt-4o", attempts=1, cost_nanos=10_000_000)
TOLD = {"cost_usd": 0.01, "deployment": "openai/gpt-4o", "attempts": 1, "trace_id": "0af7"}
STOP = pb.FINISH_REASON_STOP
USAGE = pb.Usage(input_tokens=9, output_tokens=3)


def encoder(*, include_usage: bool = False) -> ChunkEncoder:
    return ChunkEncoder(Identity("req_1", "gpt-4o", 1_700_000_000.5), include_usage=include_usage)


def stream(chunks: Sequence[pb.ChatChunk], *, include_usage: bool = False) -> list[Any]:
    """The events of a whole stream."""
    making = encoder(include_usage=include_usage)
    return events(b"".join(making.encode(chunk) for chunk in chunks) + making.finish(RECEIPT, "0af7"))


def deltas_of(*deltas: pb.Delta) -> list[Any]:
    """What the events add to choices, for these deltas and an end."""
    ended = {delta.index for delta in deltas if delta.finish_reason}
    ends = [pb.Delta(index=i, finish_reason=STOP) for i in sorted({delta.index for delta in deltas} - ended)]
    return [event["choices"][0]["delta"] for event in stream([pb.ChatChunk(deltas=[*deltas, *ends])])[:-1]]


def test_a_stream_is_a_role_then_texts_then_an_end() -> None:
    chunk = pb.ChatChunk(
        id="chatcmpl-1",
        model="gpt-4o-2024-08-06",
        deltas=[pb.Delta(role=pb.ROLE_ASSISTANT), pb.Delta(text="Hel"), pb.Delta(text="lo")],
        system_fingerprint="fp_1",
        service_tier="default",
    )
    chunk.create_time.seconds = 1_600_000_000

    *chunks, done = stream([chunk, pb.ChatChunk(deltas=[pb.Delta(finish_reason=STOP)], usage=USAGE)])

    assert done == "[DONE]"
    assert [event["choices"] for event in chunks] == [
        [
            {
                "index": 0,
                "delta": {"role": "assistant", "content": "", "refusal": None},
                "logprobs": None,
                "finish_reason": None,
            }
        ],
        [{"index": 0, "delta": {"content": "Hel"}, "logprobs": None, "finish_reason": None}],
        [{"index": 0, "delta": {"content": "lo"}, "logprobs": None, "finish_reason": None}],
        [{"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}],
    ]
    for event in chunks:
        assert ChatCompletionChunk.model_validate(event, strict=True)
        assert {name: event[name] for name in ("id", "object", "created", "model")} == {
            "id": "chatcmpl-1",
            "object": "chat.completion.chunk",
            "created": 1_600_000_000,
            "model": "gpt-4o-2024-08-06",
        }
        assert (event["system_fingerprint"], event["service_tier"]) == ("fp_1", "default")
        assert "usage" not in event
    assert chunks[-1]["tollway"] == TOLD


def test_usage_comes_in_an_event_without_choices_where_it_was_asked_for() -> None:
    *chunks, usage, done = stream(
        [pb.ChatChunk(deltas=[pb.Delta(text="Hi"), pb.Delta(finish_reason=STOP)], usage=USAGE)], include_usage=True
    )

    assert done == "[DONE]"
    assert [event["usage"] for event in chunks] == [None] * len(chunks)
    assert all("tollway" not in event for event in chunks)
    assert usage["choices"] == []
    assert usage["usage"]["total_tokens"] == 12
    assert usage["tollway"] == TOLD


def test_the_tier_that_was_billed_is_told_from_when_it_is_known() -> None:
    first, last = pb.Delta(text="Hi"), pb.Delta(finish_reason=STOP)
    usage = pb.Usage(service_tier="standard")

    _, text, end, _ = stream([pb.ChatChunk(deltas=[first]), pb.ChatChunk(deltas=[last], usage=usage)])

    assert ("service_tier" in text, end["service_tier"]) == (False, "default")


def test_usage_that_is_not_known_is_not_made_up() -> None:
    *_, end, done = stream([pb.ChatChunk(deltas=[pb.Delta(text="Hi", finish_reason=STOP)])], include_usage=True)

    assert done == "[DONE]"
    assert (end["choices"][0]["finish_reason"], end["usage"]) == ("stop", None)
    assert "tollway" in end


def test_the_last_usage_given_counts() -> None:
    chunks = [
        pb.ChatChunk(deltas=[pb.Delta(text="Hi")], usage=pb.Usage(output_tokens=1)),
        pb.ChatChunk(deltas=[pb.Delta(finish_reason=STOP)]),
        pb.ChatChunk(usage=pb.Usage(output_tokens=7)),
    ]

    assert stream(chunks, include_usage=True)[-2]["usage"]["completion_tokens"] == 7


def test_what_a_provider_leaves_out_of_a_stream_is_filled_in() -> None:
    event = stream([pb.ChatChunk(deltas=[pb.Delta(finish_reason=STOP)])])[0]

    assert (event["id"], event["model"], event["created"]) == ("chatcmpl-req_1", "gpt-4o", 1_700_000_000)


def test_a_stream_keeps_the_name_it_began_with() -> None:
    chunks = [
        pb.ChatChunk(id="first", model="a", deltas=[pb.Delta(text="Hel")]),
        pb.ChatChunk(id="second", model="b", deltas=[pb.Delta(text="lo", finish_reason=STOP)]),
    ]

    assert {(event["id"], event["model"]) for event in stream(chunks)[:-1]} == {("first", "a")}


def test_a_fingerprint_that_comes_late_is_shown_from_then_on() -> None:
    chunks = [
        pb.ChatChunk(deltas=[pb.Delta(text="a")]),
        pb.ChatChunk(deltas=[pb.Delta(text="b")], system_fingerprint="fp_1", service_tier="flex"),
        pb.ChatChunk(deltas=[pb.Delta(finish_reason=STOP)]),
    ]

    shown = [(event.get("system_fingerprint"), event.get("service_tier")) for event in stream(chunks)[:-1]]

    assert shown == [(None, None), (None, None), ("fp_1", "flex"), ("fp_1", "flex")]


def test_text_is_not_kept_back_and_the_end_is() -> None:
    making = encoder()

    assert b'"a"' in making.encode(pb.ChatChunk(deltas=[pb.Delta(text="a")]))
    assert making.encode(pb.ChatChunk(deltas=[pb.Delta(finish_reason=STOP)])) == b""


def test_what_comes_after_the_end_of_a_choice_takes_its_place_as_the_last() -> None:
    late = pb.Delta(choice_extra_json=b'{"content_filter_results":{}}')

    *_, end, after, done = stream([pb.ChatChunk(deltas=[pb.Delta(text="a", finish_reason=STOP)]),
                                   pb.ChatChunk(deltas=[late])])  # fmt: skip

    assert done == "[DONE]"
    assert end["choices"][0]["finish_reason"] == "stop"
    assert "tollway" not in end
    assert after["choices"][0]["content_filter_results"] == {}
    assert "tollway" in after


def test_a_choice_that_goes_on_after_another_s_end_is_not_kept_back() -> None:
    making = encoder()
    making.encode(pb.ChatChunk(deltas=[pb.Delta(text="a"), pb.Delta(index=1, text="x")]))

    ended = making.encode(pb.ChatChunk(deltas=[pb.Delta(finish_reason=STOP)]))
    text = making.encode(pb.ChatChunk(deltas=[pb.Delta(index=1, text="y")]))

    assert b'"stop"' in ended
    assert b'"y"' in text


def test_a_choice_may_begin_after_another_s_end() -> None:
    chunks = [
        pb.ChatChunk(deltas=[pb.Delta(text="a", finish_reason=STOP)]),
        pb.ChatChunk(deltas=[pb.Delta(index=1, text="x")]),
        pb.ChatChunk(deltas=[pb.Delta(index=1, finish_reason=STOP)]),
    ]

    *made, done = stream(chunks)

    assert done == "[DONE]"
    assert [event["choices"][0]["finish_reason"] for event in made] == [None, "stop", None, None, "stop"]
    assert ["tollway" in event for event in made] == [False] * 4 + [True]


@pytest.mark.parametrize(
    "deltas",
    [[], [pb.Delta(text="a")], [pb.Delta(text="a", finish_reason=STOP), pb.Delta(index=1, text="x")]],
)
def test_a_stream_that_is_cut_is_never_given_an_end(deltas: list[pb.Delta]) -> None:
    making = encoder()
    making.encode(pb.ChatChunk(deltas=deltas))

    with pytest.raises(TollwayError) as raised:
        making.finish(RECEIPT, "0af7")

    assert raised.value.reason is Reason.UPSTREAM_CUT


def test_a_role_is_said_once_however_often_it_comes() -> None:
    role = pb.ROLE_ASSISTANT

    assert deltas_of(pb.Delta(role=role, text="a"), pb.Delta(role=role, text="b"), pb.Delta(role=role)) == [
        {"role": "assistant", "content": "", "refusal": None},
        {"content": "a"},
        {"content": "b"},
        {},
    ]


def test_a_role_is_said_even_if_it_never_came() -> None:
    assert deltas_of(pb.Delta(text="a"))[0] == {"role": "assistant", "content": "", "refusal": None}


def test_a_tool_call_is_begun_together_with_the_role() -> None:
    call = pb.ToolCallDelta(id="call_1", type="function", name="f")

    made = deltas_of(
        pb.Delta(role=pb.ROLE_ASSISTANT),
        pb.Delta(tool_calls=[call]),
        pb.Delta(tool_calls=[pb.ToolCallDelta(arguments="{}")]),
        pb.Delta(tool_calls=[pb.ToolCallDelta(index=1, id="call_2", type="function", name="g", arguments="{")]),
    )

    assert made[0] == {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": ""}}],
    }
    assert made[1] == {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}
    assert made[2]["tool_calls"][0]["index"] == 1


def test_a_tool_call_of_another_kind_is_carried() -> None:
    call = pb.ToolCallDelta(id="call_1", type="custom", extra_json=b'{"custom":{"name":"grep","input":""}}')

    assert deltas_of(pb.Delta(tool_calls=[call]))[0]["tool_calls"] == [
        {"index": 0, "id": "call_1", "type": "custom", "custom": {"name": "grep", "input": ""}}
    ]


def test_everything_a_delta_may_say_has_its_place() -> None:
    delta = pb.Delta(
        text="a",
        refusal="b",
        reasoning=pb.ReasoningPart(text="c"),
        logprobs=pb.Logprobs(content=[pb.TokenLogprob(token="a", logprob=-1.0)]),
        extra_json=b'{"audio":{"id":"audio_1"}}',
        choice_extra_json=b'{"content_filter_results":{}}',
        finish_reason=pb.FINISH_REASON_OTHER,
        native_finish_reason="pause_turn",
    )

    choice = stream([pb.ChatChunk(deltas=[delta])])[1]["choices"][0]

    assert choice["delta"] == {
        "content": "a",
        "refusal": "b",
        "reasoning_content": "c",
        "audio": {"id": "audio_1"},
    }
    assert choice["logprobs"]["content"][0]["token"] == "a"
    assert choice["content_filter_results"] == {}
    assert (choice["finish_reason"], choice["native_finish_reason"]) == ("pause_turn", "pause_turn")


def test_a_proof_comes_with_the_text_that_it_proves() -> None:
    made = deltas_of(
        pb.Delta(reasoning=pb.ReasoningPart(text="H")),
        pb.Delta(reasoning=pb.ReasoningPart(text="m.")),
        pb.Delta(reasoning=pb.ReasoningPart(signature="c2ln", issuer="anthropic")),
        pb.Delta(part=1, reasoning=pb.ReasoningPart(redacted=b"ZW5j", issuer="anthropic")),
        pb.Delta(part=2, reasoning=pb.ReasoningPart(text="Well.")),
        pb.Delta(part=3, text="Hi"),
    )

    assert made[1:] == [
        {"reasoning_content": "H"},
        {"reasoning_content": "m."},
        {
            "reasoning_details": [
                {"type": "reasoning.text", "index": 0, "text": "Hm.", "signature": "tollway:anthropic:c2ln"}
            ]
        },
        {"reasoning_details": [{"type": "reasoning.encrypted", "index": 1, "data": "tollway:anthropic:ZW5j"}]},
        {"reasoning_content": "Well."},
        {"content": "Hi"},
        {"reasoning_details": [{"type": "reasoning.text", "index": 2, "text": "Well."}]},
    ]


def test_thinking_without_proofs_is_text_alone() -> None:
    made = deltas_of(pb.Delta(reasoning=pb.ReasoningPart(text="H")), pb.Delta(reasoning=pb.ReasoningPart(text="m.")))

    assert made[1:] == [{"reasoning_content": "H"}, {"reasoning_content": "m."}, {}]


def test_details_that_a_provider_told_itself_are_its_own() -> None:
    details = '[{"type":"reasoning.text","index":0,"text":"Hm.","signature":"s","id":"r"}]'
    reasoning = pb.ReasoningPart(text="Hm.", signature="s", issuer="openai")

    made = deltas_of(pb.Delta(reasoning=reasoning, extra_json=f'{{"reasoning_details":{details}}}'.encode()))

    assert made[1] == {"reasoning_content": "Hm.", "reasoning_details": json.loads(details)}


def test_sources_parts_and_what_another_dialect_says_are_counted_so_that_clients_can_join_them() -> None:
    def deltas() -> list[Any]:
        image = pb.ContentPart(image=pb.ImagePart(url="https://a.example/b"))
        file = pb.ContentPart(file=pb.FilePart(file_id="file-1"))
        unknown = pb.ContentPart(extra_json=b'{"type":"server_tool_use"}')
        web = pb.Citation(url="https://a.example", answer_start=0, answer_end=0)
        document = pb.Citation(type="page_location", document_index=0)
        return [pb.Delta(part=3, parts=[image, file, unknown], citations=[web, document])]

    chunks = [pb.ChatChunk(deltas=deltas(), dialect="anthropic"), pb.ChatChunk(deltas=deltas())]
    _, first, second, *_ = stream([*chunks, pb.ChatChunk(deltas=[pb.Delta(finish_reason=STOP)])])

    for place, event in enumerate((first, second)):
        of = {"url": "https://a.example", "title": "", "start_index": 0, "end_index": 0}
        assert event["choices"][0]["delta"] == {
            "images": [{"index": place, "type": "image_url", "image_url": {"url": "https://a.example/b"}}],
            "files": [{"index": place, "type": "file", "file": {"file_id": "file-1"}}],
            "content_parts": [{"index": place, "part": 3, "anthropic": {"type": "server_tool_use"}}],
            "annotations": [{"index": place, "type": "url_citation", "url_citation": of}],
            "citations": [{"index": place, "type": "page_location", "document_index": 0}],
        }


def test_sources_are_of_characters_of_the_whole_text_in_whichever_part_they_were() -> None:
    early = pb.Citation(url="https://early.example")
    late = pb.Citation(url="https://late.example")
    placed = pb.Citation(url="https://placed.example", answer_start=0, answer_end=5)
    document = pb.Citation(type="char_location", answer_start=1, answer_end=3)

    made = deltas_of(
        pb.Delta(text="Int"), pb.Delta(text="ro. "),
        pb.Delta(part=1, citations=[early]), pb.Delta(part=1, text="Paris is "),
        pb.Delta(part=1, text="big", citations=[placed, document]), pb.Delta(part=2, text="."),
        pb.Delta(part=1, citations=[late]),
    )  # fmt: skip

    annotations = [entry for delta in made for entry in delta.get("annotations", ())]
    told = [entry["url_citation"] for entry in annotations]
    assert [(of["url"], of["start_index"], of["end_index"]) for of in told] == [
        ("https://placed.example", 7, 12),
        ("https://early.example", 7, 19),
        ("https://late.example", 7, 19),
    ]
    assert [entry["index"] for entry in annotations] == [0, 1, 2]
    (beside,) = [entry for delta in made for entry in delta.get("citations", ())]
    assert (beside["answer_start"], beside["answer_end"]) == (8, 10)


def test_a_source_that_is_told_after_the_end_does_not_wait() -> None:
    ended = pb.ChatChunk(deltas=[pb.Delta(text="Hi"), pb.Delta(finish_reason=STOP)])
    late = pb.ChatChunk(deltas=[pb.Delta(citations=[pb.Citation(url="https://a.example")])])

    *_, last, _ = stream([ended, late])

    (annotation,) = last["choices"][0]["delta"]["annotations"]
    assert (annotation["url_citation"]["start_index"], annotation["url_citation"]["end_index"]) == (0, 2)


def test_entries_that_no_provider_numbered_are_numbered_on() -> None:
    extra = [b'{"annotations":[{"type":"file"}],"n":1}', b'{"annotations":[{"type":"file"},{"type":"x"}]}']

    made = deltas_of(*(pb.Delta(extra_json=each) for each in extra), pb.Delta(extra_json=b'{"images":[{"index":7}]}'))

    assert made[1:4] == [
        {"annotations": [{"index": 0, "type": "file"}], "n": 1},
        {"annotations": [{"index": 1, "type": "file"}, {"index": 2, "type": "x"}]},
        {"images": [{"index": 7}]},
    ]


def test_the_input_of_a_tool_of_one_s_own_grows_as_such() -> None:
    begun = pb.ToolCallDelta(id="c", type="custom", name="grep")

    made = deltas_of(pb.Delta(tool_calls=[begun]), pb.Delta(tool_calls=[pb.ToolCallDelta(arguments="x")]))

    assert made[0]["tool_calls"] == [{"index": 0, "id": "c", "type": "custom", "custom": {"name": "grep", "input": ""}}]
    assert made[1]["tool_calls"] == [{"index": 0, "custom": {"input": "x"}}]


def test_parts_that_come_whole_have_their_fields() -> None:
    parts = [
        pb.ContentPart(text="a"),
        pb.ContentPart(refusal="b"),
        pb.ContentPart(reasoning=pb.ReasoningPart(text="c", signature="s")),
        pb.ContentPart(audio=pb.AudioPart(id="audio_1", transcript="d")),
        pb.ContentPart(extra_json=b'{"type":"thinking"}'),
    ]

    assert deltas_of(pb.Delta(parts=parts))[1] == {
        "content": "a",
        "refusal": "b",
        "reasoning_content": "c",
        "reasoning_details": [{"type": "reasoning.text", "index": 0, "text": "c", "signature": "s"}],
        "audio": {"id": "audio_1", "transcript": "d"},
        "content_parts": [{"index": 0, "type": "thinking"}],
    }


def test_fields_of_another_dialect_stand_under_its_name() -> None:
    delta = pb.Delta(
        text="a", extra_json=b'{"x":1}', choice_extra_json=b'{"y":1}',
        tool_calls=[pb.ToolCallDelta(id="c", type="function", name="f", signature="s", extra_json=b'{"z":1}')],
    )  # fmt: skip

    chunk = pb.ChatChunk(deltas=[delta], extra_json=b'{"id":1}', dialect="gemini")
    _, made, _, _ = stream([chunk, pb.ChatChunk(deltas=[pb.Delta(finish_reason=STOP, stop_sequence="END")])])

    (choice,) = made["choices"]
    assert (choice["gemini"], choice["delta"]["gemini"]) == ({"y": 1}, {"x": 1})
    assert choice["delta"]["tool_calls"][0]["gemini"] == {"z": 1}
    assert choice["delta"]["tool_calls"][0]["extra_content"] == {"google": {"thought_signature": "s"}}


def test_which_stop_sequence_it_was_is_said_at_the_end() -> None:
    *_, end, _ = stream([pb.ChatChunk(deltas=[pb.Delta(text="a", finish_reason=STOP, stop_sequence="END")])])

    assert (end["choices"][0]["finish_reason"], end["choices"][0]["stop_sequence"]) == ("stop", "END")


def test_what_stands_beside_the_choices_comes_with_the_next_event() -> None:
    chunks = [
        pb.ChatChunk(extra_json=b'{"prompt_filter_results":[]}'),
        pb.ChatChunk(deltas=[pb.Delta(text="a")]),
        pb.ChatChunk(deltas=[pb.Delta(text="b"), pb.Delta(text="c")], extra_json=b'{"obfuscation":"xyz"}'),
        pb.ChatChunk(deltas=[pb.Delta(finish_reason=STOP)]),
        pb.ChatChunk(extra_json=b'{"citations":[1]}'),
    ]

    role, a, b, c, end, _ = stream(chunks)

    assert role["prompt_filter_results"] == []
    assert "prompt_filter_results" not in a
    assert (b["obfuscation"], "obfuscation" in c) == ("xyz", False)
    assert (end["citations"], "tollway" in end) == ([1], True)


def test_nothing_from_upstream_displaces_what_an_event_says_itself() -> None:
    extra = b'{"tollway":{"cost_usd":9},"usage":{"prompt_tokens":9},"choices":[],"id":"x","kept":1}'

    raw = encoder()
    made = raw.encode(pb.ChatChunk(deltas=[pb.Delta(text="a", finish_reason=STOP)], extra_json=extra))
    made += raw.finish(RECEIPT, "0af7")

    assert made.count(b'"tollway"') == 1
    assert made.count(b'"usage"') == 0
    assert events(made)[0]["kept"] == 1


@pytest.mark.parametrize("character", ["\x85", "\u2028", "\u2029"])
def test_no_event_has_a_character_at_which_some_readers_break_lines(character: str) -> None:
    text = f"a{character}é"
    making = encoder()

    made = making.encode(pb.ChatChunk(deltas=[pb.Delta(text=text), pb.Delta(text=text)])).decode()

    assert character not in made
    assert [event["choices"][0]["delta"]["content"] for event in events(made.encode())] == ["", text, text]


def test_a_line_break_is_no_end_of_an_event() -> None:
    assert deltas_of(pb.Delta(text="a\n\ndata: b"))[1] == {"content": "a\n\ndata: b"}


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.text('ab\n\u2028é😀"\\', max_size=3)), max_size=12),
    st.data(),
)
def test_joined_texts_do_not_depend_on_where_the_stream_was_cut(
    pieces: list[tuple[int, str]], data: st.DataObject
) -> None:
    begun = sorted({index for index, _ in pieces} | {0})
    deltas = [pb.Delta(index=index, text=text) for index, text in pieces]
    deltas += [pb.Delta(index=index, finish_reason=STOP) for index in begun]
    chunks: list[pb.ChatChunk] = [pb.ChatChunk()]
    for delta in deltas:
        if data.draw(st.booleans()):
            chunks.append(pb.ChatChunk())
        chunks[-1].deltas.append(delta)

    *made, done = stream(chunks)

    joined = dict.fromkeys(begun, "")
    for event in made:
        for choice in event["choices"]:
            joined[choice["index"]] += choice["delta"].get("content") or ""
    assert joined == {index: "".join(text for i, text in pieces if i == index) for index in begun}
    assert done == "[DONE]"
    assert ["tollway" in event for event in made] == [False] * (len(made) - 1) + [True]
    assert json.dumps(made[-1]["choices"][0]["finish_reason"]) == '"stop"'
