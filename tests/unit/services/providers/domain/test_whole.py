from __future__ import annotations

from services.providers.domain.whole import as_chunk
from tollway.chat.v1 import chat_pb2


def test_a_whole_answer_is_a_stream_of_one_chunk_that_loses_nothing() -> None:
    response = chat_pb2.ChatResponse(
        id="c", model="m", service_tier="flex", system_fingerprint="fp", extra_json=b'{"a":1}', usage=chat_pb2.Usage()
    )
    response.create_time.seconds, response.dialect = 5, "gemini"
    choice = response.choices.add(
        index=1, finish_reason=chat_pb2.FINISH_REASON_STOP, stop_sequence="x", extra_json=b'{"b":1}'
    )
    choice.message.role = chat_pb2.ROLE_ASSISTANT
    choice.message.extra_json = b'{"d":1}'
    thinking = chat_pb2.ReasoningPart(text="Hm.", signature="s", redacted=b"r", issuer="gemini")
    picture = chat_pb2.ContentPart(image=chat_pb2.ImagePart(data=b"p"), extra_json=b'{"f":1}')
    source = chat_pb2.Citation(url="https://example.com")
    choice.message.content.add().reasoning.CopyFrom(thinking)
    choice.message.content.add(text="Hello", citations=[source], extra_json=b'{"c":1}')
    choice.message.content.append(picture)
    choice.message.content.add(refusal="No.")
    choice.message.tool_calls.add(
        id="t", type="function", name="f", arguments="{}", signature="s", extra_json=b'{"e":1}'
    )
    choice.logprobs.content.add(token="He", logprob=-1)

    chunk = as_chunk(response)

    assert (chunk.id, chunk.model, chunk.service_tier, chunk.system_fingerprint) == ("c", "m", "flex", "fp")
    assert (chunk.create_time.seconds, chunk.HasField("usage"), chunk.extra_json) == (5, True, b'{"a":1}')
    assert chunk.dialect == "gemini"
    call = chat_pb2.ToolCallDelta(
        id="t", type="function", name="f", arguments="{}", signature="s", extra_json=b'{"e":1}'
    )
    assert list(chunk.deltas) == [
        chat_pb2.Delta(index=1, role=chat_pb2.ROLE_ASSISTANT, reasoning=thinking),
        chat_pb2.Delta(index=1, part=1, text="Hello", citations=[source], extra_json=b'{"c":1}'),
        chat_pb2.Delta(index=1, part=2, parts=[picture]),
        chat_pb2.Delta(
            index=1,
            part=3,
            refusal="No.",
            tool_calls=[call],
            finish_reason=chat_pb2.FINISH_REASON_STOP,
            stop_sequence="x",
            logprobs=choice.logprobs,
            extra_json=b'{"d":1}',
            choice_extra_json=b'{"b":1}',
        ),
    ]


def test_fields_of_a_part_and_of_its_message_are_both_kept() -> None:
    text = chat_pb2.ContentPart(text="a", extra_json=b'{"c":1}')
    message = chat_pb2.Message(content=[text], extra_json=b'{"d":1}')
    first, last = as_chunk(chat_pb2.ChatResponse(choices=[chat_pb2.Choice(message=message)])).deltas
    assert (first.text, first.extra_json, first.finish_reason) == ("a", b'{"c":1}', 0)
    assert (last.text, last.extra_json, last.finish_reason) == ("", b'{"d":1}', chat_pb2.FINISH_REASON_OTHER)


def test_an_answer_that_came_whole_has_ended_even_where_its_end_has_no_name() -> None:
    text = chat_pb2.Message(content=[chat_pb2.ContentPart(text="a")])
    response = chat_pb2.ChatResponse(choices=[chat_pb2.Choice(message=text)])
    (delta,) = as_chunk(response).deltas
    assert delta.finish_reason == chat_pb2.FINISH_REASON_OTHER
    assert not delta.HasField("reasoning")


def test_a_call_comes_in_its_place_among_the_parts() -> None:
    message = chat_pb2.Message(
        content=[chat_pb2.ContentPart(text="a", extra_json=b'{"c":1}'), chat_pb2.ContentPart(text="b")],
        tool_calls=[
            chat_pb2.ToolCall(id="t0", place=0),
            chat_pb2.ToolCall(id="t1", place=1),
            chat_pb2.ToolCall(id="t2"),
        ],
    )
    deltas = as_chunk(chat_pb2.ChatResponse(choices=[chat_pb2.Choice(message=message)])).deltas
    told = [(delta.text, [(call.index, call.id) for call in delta.tool_calls]) for delta in deltas]
    assert told == [("", [(0, "t0")]), ("a", []), ("", [(1, "t1")]), ("b", [(2, "t2")])]
