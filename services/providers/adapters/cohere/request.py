"""ChatRequest to Cohere's chat JSON.

Fields of Cohere's own (`safety_mode`, `citation_options`, `documents`, `priority`, …) travel in `extra_json` where the
question's dialect is "cohere", and are laid over what is built here.
"""

from __future__ import annotations

from mesh.errors import invalid
from services.providers.adapters.cohere.messages import Conversation
from services.providers.adapters.cohere.tools import put_tools
from services.providers.domain.json_objects import Json, json_object, written
from services.providers.domain.own_words import OwnWords
from services.providers.domain.unsaid import Unsaid
from services.providers.domain.wire import Encoded
from tollway.chat.v1 import chat_pb2

_SAMPLING = {
    "temperature": "temperature",
    "top_p": "p",
    "top_k": "k",
    "seed": "seed",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "max_tokens": "max_tokens",
    "max_output_tokens": "max_tokens",
    "logprobs": "logprobs",
}


def encode_request(chat: chat_pb2.ChatRequest, model: str, stream: bool, unsaid: Unsaid) -> Encoded:
    """The call that asks `model` this question.

    Raises INVALID_REQUEST naming the field that is missing or is not what it must be, and UNSUPPORTED_FEATURE for what
    Cohere cannot be told.
    """
    if not chat.messages:
        raise invalid("chat.messages", "must hold at least one message")
    words = OwnWords(chat.dialect, "cohere", unsaid)
    conversation = Conversation(words, unsaid)
    for i, message in enumerate(chat.messages):
        conversation.add(message, f"chat.messages[{i}]")
    if not conversation.said:
        raise invalid("chat.messages", "must hold a message that says something")
    body: Json = {}
    _sampling(chat.sampling, body, unsaid)
    put_tools(chat, body, words, unsaid)
    if chat.HasField("response_format"):
        body["response_format"] = _response_format(chat.response_format, words, unsaid)
    _thinking(chat, body, unsaid)
    _around(chat, unsaid)
    words.lay_over(body, chat.extra_json, "chat")
    if conversation.documents:
        body["documents"] = [*conversation.documents, *body.get("documents", ())]
    body |= {"model": model, "messages": conversation.said, "stream": stream}
    return Encoded("/v2/chat", written(body))


def _sampling(sampling: chat_pb2.SamplingOptions, body: Json, unsaid: Unsaid) -> None:
    for field, value in sampling.ListFields():
        if name := _SAMPLING.get(field.name):
            body[name] = value
    if sampling.stop:
        body["stop_sequences"] = list(sampling.stop)
    for name in ("top_logprobs", "logit_bias"):
        if getattr(sampling, name):
            unsaid.refuse(f"chat.sampling.{name}", "has no place in Cohere's API")


def _response_format(wanted: chat_pb2.ResponseFormat, words: OwnWords, unsaid: Unsaid) -> Json:
    said: Json = {}
    if wanted.kind == chat_pb2.RESPONSE_FORMAT_KIND_TEXT:
        said = {"type": "text"}
    elif wanted.kind == chat_pb2.RESPONSE_FORMAT_KIND_JSON_OBJECT:
        said = {"type": "json_object"}
    elif wanted.kind == chat_pb2.RESPONSE_FORMAT_KIND_JSON_SCHEMA:
        schema = json_object(wanted.schema_json, "chat.response_format.schema_json")
        said = {"type": "json_object", "json_schema": schema}
        for name in ("name", "description"):
            if getattr(wanted, name):
                unsaid.leave_out(f"chat.response_format.{name}")
        if wanted.HasField("strict") and not wanted.strict:
            unsaid.leave_out("chat.response_format.strict")  # Cohere keeps to every schema
    elif not wanted.extra_json:
        raise invalid("chat.response_format.kind", "is missing")
    return words.lay_over(said, wanted.extra_json, "chat.response_format")


def _thinking(chat: chat_pb2.ChatRequest, body: Json, unsaid: Unsaid) -> None:
    """Cohere's models think or not, and up to a number of tokens; they are not told how hard."""
    if chat.reasoning_summary:
        unsaid.leave_out("chat.reasoning_summary")
    if chat.reasoning_effort not in ("", "none"):
        unsaid.leave_out("chat.reasoning_effort")
    if chat.HasField("reasoning_budget_tokens"):
        budget = chat.reasoning_budget_tokens
        body["thinking"] = {"type": "enabled", "token_budget": budget} if budget else {"type": "disabled"}
    elif chat.reasoning_effort:
        body["thinking"] = {"type": "disabled" if chat.reasoning_effort == "none" else "enabled"}


def _around(chat: chat_pb2.ChatRequest, unsaid: Unsaid) -> None:
    for name in ("metadata", "user"):
        if getattr(chat, name):
            unsaid.leave_out(f"chat.{name}")
    if chat.service_tier not in ("", "auto", "default"):
        unsaid.refuse("chat.service_tier", "has no place in Cohere's API")
    if chat.choice_count > 1:
        unsaid.refuse("chat.choice_count", "cannot be more than one in Cohere's API")
    if set(chat.modalities) - {"text"}:
        unsaid.refuse("chat.modalities", "cannot be chosen in Cohere's API")
