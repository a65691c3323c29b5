"""Of questions and answers that are no conversation, a conversation that weighs the same.

Limits, budgets, rules, strategies and estimates look at a chat: whom it asks, how much it says, how long its answer may
become. They need not know what else there is, so long as what else there is can be put so. What is asked and answered
is never made of these.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from services.router.domain.usage import CHARACTERS_PER_TOKEN
from tollway.chat.v1.chat_pb2 import ChatRequest, ChatResponse, Role
from tollway.chat.v1.embedding_pb2 import EmbeddingInput, EmbeddingRequest, EmbeddingResponse
from tollway.chat.v1.forwarding_pb2 import Endpoint, ForwardedQuestion

_SAID = ("prompt", "instructions", "input", "query", "documents")
"""Where in the JSON, or the form, of a question that is passed on there are words."""
_NO_WORDS = frozenset({"type", "url", "image_url", "b64_json", "data"})


def of_embedding(embedding: EmbeddingRequest) -> ChatRequest:
    """A question for vectors: its texts are said, and nothing is answered in tokens."""
    return _chat(embedding.model, map(_text, embedding.inputs))


def of_vectors(response: EmbeddingResponse) -> ChatResponse:
    """An answer in vectors: by whom, and what it took."""
    return ChatResponse(model=response.model, usage=response.usage if response.HasField("usage") else None)


def of_forwarded(question: ForwardedQuestion) -> ChatRequest:
    """A question that is passed on: its words are said. Pictures and sound are not guessed at."""
    return _chat(question.model, _words(fields_of(question)))


def one_for_each(embedding: EmbeddingRequest, response: EmbeddingResponse) -> bool:
    """Whether an answer has one vector for each text, so that none goes to the wrong one."""
    return sorted(each.index for each in response.embeddings) == list(range(len(embedding.inputs)))


def wants_stream(question: ForwardedQuestion) -> bool:
    """Whether a question that is passed on wants its answer as it is made."""
    if question.endpoint == Endpoint.ENDPOINT_AUDIO_SPEECH:
        return True
    return fields_of(question).get("stream") in (True, "true", "True", "1")


def fields_of(question: ForwardedQuestion) -> dict[str, Any]:
    """The fields of its body; of a form, those that are no files. None, where it is no JSON object."""
    if question.WhichOneof("body") == "form":
        plain = (field for field in question.form.fields if not field.filename)
        return {field.name: field.value.decode("utf-8", "replace") for field in plain}
    try:
        fields = orjson.loads(question.json)
    except orjson.JSONDecodeError:
        return {}
    return fields if isinstance(fields, dict) else {}


def _chat(model: str, texts: Iterable[str]) -> ChatRequest:
    chat = ChatRequest(model=model)
    message = chat.messages.add(role=Role.ROLE_USER)
    for text in texts:
        message.content.add(text=text)
    chat.sampling.max_output_tokens = 0
    return chat


def _text(given: EmbeddingInput) -> str:
    if given.WhichOneof("input") == "tokens":
        return " " * (CHARACTERS_PER_TOKEN * len(given.tokens.tokens))
    return given.text


def _words(fields: dict[str, Any]) -> Iterator[str]:
    for name in _SAID:
        yield from _strings(fields.get(name))


def _strings(value: Any) -> Iterator[str]:
    """Every text in a value; walked without recursion, since nobody has bounded its depth."""
    left = [value]
    while left:
        each = left.pop()
        if isinstance(each, str):
            yield each
        elif isinstance(each, list):
            left.extend(each)
        elif isinstance(each, dict):
            left.extend(item for name, item in each.items() if name not in _NO_WORDS)
