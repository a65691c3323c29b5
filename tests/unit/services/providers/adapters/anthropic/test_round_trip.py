"""What is said in `tollway.chat.v1` is what Anthropic reads, and what it answers is what is read here."""

from __future__ import annotations

import orjson
from hypothesis import given
from hypothesis import strategies as st

from services.providers.adapters.anthropic import decode_response, encode_request, stream_decoder
from services.providers.domain.unsaid import Unsaid
from tests.unit.services.providers.adapters.anthropic.reading import read_request
from tests.unit.services.providers.adapters.anthropic.strategies import answers, pieces, questions
from tests.unit.services.providers.adapters.anthropic.writing import body_of, joined, stream_of
from tollway.chat.v1 import chat_pb2


@given(questions(), st.booleans())
def test_a_question_in_this_dialect_loses_nothing_on_its_way_out(chat: chat_pb2.ChatRequest, stream: bool) -> None:
    unsaid = Unsaid()
    fields = orjson.loads(encode_request(chat, chat.model, stream, unsaid).body)
    assert unsaid.dropped == []
    assert fields.pop("stream", False) is stream
    assert read_request(fields) == chat


@given(answers())
def test_a_whole_answer_is_read_as_it_was_meant(answer: chat_pb2.ChatResponse) -> None:
    assert decode_response(body_of(answer)) == answer


@given(answers(), st.data())
def test_a_streamed_answer_is_read_as_it_was_meant_however_it_was_cut(
    answer: chat_pb2.ChatResponse, data: st.DataObject
) -> None:
    written = stream_of(answer, lambda text: pieces(data, text))
    decoder = stream_decoder(1, 1 << 20)
    chunks = [chunk for piece in pieces(data, written) for chunk in decoder.feed(piece)]
    assert joined(chunks) == answer
    assert decoder.done
    assert decoder.complete
    assert decoder.error is None
