from __future__ import annotations

from services.providers.domain.whole import as_chunk
from tollway.chat.v1 import chat_pb2


def test_a_whole_answer_is_a_stream_of_one_chunk_that_loses_nothing() -> None:
    response = chat_pb2.ChatResponse(
        id="c", model="m", service_tier="flex", system_fingerprint="fp", extra_json=b'{"a":1}', usage=chat_pb2.Usage()
    )
    response.create_time.seconds = 5
    choice = response.choices.add(index=1, finish_reason=chat_pb2.FINISH_REASON_STOP, extra_json=b'{"b":1}')
    choice.message.role = chat_pb2.ROLE_ASSISTANT
    choice.message.extra_json = b'{"d":1}'
    choice.message.content.add().reasoning.text = "Hm."
    choice.message.content.add().text = "He"
    choice.message.content.add().text = "llo"
    choice.message.content.add().refusal = "No."
    choice.message.tool_calls.add(id="t", type="function", name="f", arguments="{}", extra_json=b'{"e":1}')
    choice.logprobs.content.add(token="He", logprob=-1)

    chunk = as_chunk(response)

    assert (chunk.id, chunk.model, chunk.service_tier, chunk.system_fingerprint) == ("c", "m", "flex", "fp")
    assert (chunk.create_time.seconds, chunk.HasField("usage"), chunk.extra_json) == (5, True, b'{"a":1}')
    assert list(chunk.deltas) == [
        chat_pb2.Delta(
            index=1,
            role=chat_pb2.ROLE_ASSISTANT,
            text="Hello",
            refusal="No.",
            reasoning=chat_pb2.ReasoningPart(text="Hm."),
            tool_calls=[
                chat_pb2.ToolCallDelta(id="t", type="function", name="f", arguments="{}", extra_json=b'{"e":1}')
            ],
            finish_reason=chat_pb2.FINISH_REASON_STOP,
            logprobs=choice.logprobs,
            extra_json=b'{"d":1}',
            choice_extra_json=b'{"b":1}',
        )
    ]


def test_an_answer_that_came_whole_has_ended_even_where_its_end_has_no_name() -> None:
    text = chat_pb2.Message(content=[chat_pb2.ContentPart(text="a")])
    response = chat_pb2.ChatResponse(choices=[chat_pb2.Choice(message=text)])
    (delta,) = as_chunk(response).deltas
    assert delta.finish_reason == chat_pb2.FINISH_REASON_OTHER
    assert not delta.HasField("reasoning")
