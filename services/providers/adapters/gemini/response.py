"""The answer of generateContent to ChatResponse."""

from __future__ import annotations

from itertools import accumulate

from services.providers.adapters.gemini.candidate import finish, rest, take_logprobs
from services.providers.adapters.gemini.citations import Said, grounding, recited, within
from services.providers.adapters.gemini.errors import blocked
from services.providers.adapters.gemini.parts import content_part, proof, take_signature, tool_call
from services.providers.adapters.gemini.reading import reading
from services.providers.adapters.gemini.telling import DIALECT
from services.providers.adapters.gemini.usage import take_usage
from services.providers.domain.json_objects import Json
from tollway.chat.v1 import chat_pb2

_EMPTY = chat_pb2.ContentPart(text="")
"""Where a signature stands alone."""


def decode_response(body: bytes) -> chat_pb2.ChatResponse:
    """The answer in a body.

    Raises UPSTREAM_MALFORMED, CONTENT_FILTERED for a question that was not let through, or the error that a 200
    carried.
    """
    with reading("an answer of generateContent", body) as answer:
        return _response(answer)


def _response(answer: Json) -> chat_pb2.ChatResponse:
    if not (candidates := answer.pop("candidates", None)):
        raise blocked(answer) or ValueError("no candidates")
    response = chat_pb2.ChatResponse(dialect=DIALECT)
    identify(response, answer)
    if (usage := take_usage(answer)) is not None:
        response.usage.CopyFrom(usage)
    for place, candidate in enumerate(candidates):
        index = candidate.pop("index", None)
        _choice(candidate, response.choices.add(index=place if index is None else index), response.id)
    response.extra_json = rest(answer)
    return response


def identify(into: chat_pb2.ChatResponse | chat_pb2.ChatChunk, answer: Json) -> None:
    """Takes out of the answer what names it, its model, and its time, which Vertex AI gives."""
    into.id = answer.pop("responseId", None) or ""
    into.model = answer.pop("modelVersion", None) or ""
    if created := answer.pop("createTime", None):
        into.create_time.FromJsonString(created)


def _choice(candidate: Json, into: chat_pb2.Choice, answer: str) -> None:
    content = candidate.pop("content", None) or {}
    into.message.role = chat_pb2.ROLE_ASSISTANT
    content.pop("role", None)
    said, begins = Said(), dict[int, int]()
    for place, part in enumerate(content.pop("parts", None) or ()):
        begins[place] = said.add(_part(part, into, answer))
    into.message.extra_json = rest(content)
    finish(candidate.pop("finishReason", None), into, calls=bool(into.message.tool_calls))
    take_logprobs(candidate, into)
    for cited in (*grounding(candidate, said, begins), *recited(candidate, said)):
        _cite(cited, into.message)
    into.extra_json = rest(candidate)


def _part(part: Json, into: chat_pb2.Choice, answer: str) -> str:
    """Puts a part where it belongs, and returns what it adds to the answer's text."""
    message = into.message
    if "functionCall" in part:
        message.tool_calls.append(tool_call(part, answer, into.index, len(message.tool_calls)))
        return ""
    signature, content = take_signature(part), content_part(part)
    if signature and content.WhichOneof("part") == "reasoning":
        content.reasoning.MergeFrom(proof(signature))
        signature = ""
    if not (signature and content == _EMPTY):
        message.content.append(content)
    if signature:
        message.content.add().reasoning.CopyFrom(proof(signature))
    return content.text


def _cite(cited: chat_pb2.Citation, message: chat_pb2.Message) -> None:
    """Puts a citation on the part that holds where it begins; one without a place on the last text there is."""
    texts = [part for part in message.content if part.WhichOneof("part") == "text"] or [message.content.add(text="")]
    *begins, size = accumulate((len(part.text) for part in texts), initial=0)
    texts[within(cited, begins, size)].citations.append(cited)
