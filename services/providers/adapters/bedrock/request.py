"""ChatRequest to Converse's JSON.

Fields of Bedrock's own (`guardrailConfig`, `performanceConfig`, `additionalModelRequestFields`, …) travel in
`extra_json` where the question's dialect is "bedrock", and are laid over what is built here.
"""

from __future__ import annotations

import re
from urllib.parse import quote

from mesh.errors import invalid
from services.providers.adapters.bedrock.messages import conversation
from services.providers.adapters.bedrock.options import additional_fields, effort, inference
from services.providers.adapters.bedrock.tools import tool_config
from services.providers.domain.failures import malformed
from services.providers.domain.json_objects import Json, json_object, sent_object, written
from services.providers.domain.own_words import OwnWords
from services.providers.domain.unsaid import Unsaid
from services.providers.domain.wire import Encoded
from tollway.chat.v1 import chat_pb2

_TIERS = {"priority", "default", "flex", "reserved"}
_LABEL = re.compile(r"[a-zA-Z0-9\s:_@$#=/+,.\-]{1,256}")
_MOST_LABELS = 16
_ACCEPT = {False: {"accept": "application/json"}, True: {"accept": "application/vnd.amazon.eventstream"}}
_COUNTED = ("messages", "system", "toolConfig", "additionalModelRequestFields")


def encode_request(chat: chat_pb2.ChatRequest, model: str, stream: bool, unsaid: Unsaid) -> Encoded:
    """The call that asks `model`: a model's id, or the ARN of one or of an inference profile.

    Raises INVALID_REQUEST naming the field that is missing or is not what it must be, and UNSUPPORTED_FEATURE for what
    Converse cannot say.
    """
    body = written(_body(chat, model, unsaid))
    return Encoded(_path(model, "converse-stream" if stream else "converse"), body, _ACCEPT[stream])


def encode_count(chat: chat_pb2.ChatRequest, model: str, unsaid: Unsaid) -> Encoded:
    """The call that counts the question's tokens. Raises what `encode_request` raises."""
    body = _body(chat, model, unsaid)
    counted = {name: body[name] for name in _COUNTED if name in body}
    return Encoded(_path(model, "count-tokens"), written({"input": {"converse": counted}}), _ACCEPT[False])


def decode_count(body: bytes) -> int:
    """Raises UPSTREAM_MALFORMED."""
    try:
        return int(sent_object(body)["inputTokens"])
    except (ValueError, TypeError, KeyError) as error:
        raise malformed(f"the provider's count is none ({type(error).__name__})") from None


def _path(model: str, operation: str) -> str:
    # A colon stands for itself in a path, and HTTP clients put it back there: what is signed must be what is sent.
    return f"/model/{quote(model, safe=':')}/{operation}"


def _body(chat: chat_pb2.ChatRequest, model: str, unsaid: Unsaid) -> Json:
    if not chat.messages:
        raise invalid("chat.messages", "must hold at least one message")
    words = OwnWords(chat.dialect, "bedrock", unsaid)
    system, messages = conversation(chat, model, words, unsaid)
    tools = tool_config(chat, messages, words, unsaid)
    said = {
        "messages": messages,
        "system": system,
        "inferenceConfig": inference(chat.sampling, unsaid),
        "toolConfig": tools,
        "additionalModelRequestFields": additional_fields(chat, model, unsaid),
        "outputConfig": _output(chat, model, words, unsaid),
        **_around(chat, unsaid),
    }
    return words.lay_over({name: value for name, value in said.items() if value}, chat.extra_json, "chat")


def _output(chat: chat_pb2.ChatRequest, model: str, words: OwnWords, unsaid: Unsaid) -> Json:
    said: Json = {"effort": word} if (word := effort(chat, model, unsaid)) else {}
    if chat.HasField("response_format") and (text_format := _text_format(chat.response_format, words, unsaid)):
        said["textFormat"] = text_format
    return said


def _text_format(wanted: chat_pb2.ResponseFormat, words: OwnWords, unsaid: Unsaid) -> Json:
    said: Json = {}
    if wanted.kind == chat_pb2.RESPONSE_FORMAT_KIND_JSON_SCHEMA:
        schema = json_object(wanted.schema_json, "chat.response_format.schema_json")
        definition: Json = {"schema": written(schema).decode()}
        for name in ("name", "description"):
            if value := getattr(wanted, name):
                definition[name] = value
        said = {"type": "json_schema", "structure": {"jsonSchema": definition}}
        if wanted.HasField("strict") and not wanted.strict:
            unsaid.leave_out("chat.response_format.strict")  # what is asked for is kept to more closely, never less
    elif wanted.kind == chat_pb2.RESPONSE_FORMAT_KIND_JSON_OBJECT:
        unsaid.refuse("chat.response_format", "can be told to Converse with a schema only")
    elif wanted.kind != chat_pb2.RESPONSE_FORMAT_KIND_TEXT and not wanted.extra_json:
        raise invalid("chat.response_format.kind", "is missing")
    return words.lay_over(said, wanted.extra_json, "chat.response_format")


def _around(chat: chat_pb2.ChatRequest, unsaid: Unsaid) -> Json:
    """What is said beside the question and how it is to be answered."""
    said: Json = {}
    if chat.service_tier in _TIERS:
        said["serviceTier"] = {"type": chat.service_tier}
    elif chat.service_tier not in ("", "auto"):
        unsaid.refuse("chat.service_tier", f"must be one of {', '.join(sorted(_TIERS))} here")
    if chat.metadata:
        said["requestMetadata"] = _labels(chat, unsaid)
    if chat.sampling.stop:
        # Models that know which of them ended the answer tell it where they are asked; the others ignore it.
        said["additionalModelResponseFieldPaths"] = ["/stop_sequence"]
    if chat.user:
        unsaid.leave_out("chat.user")
    if chat.choice_count > 1:
        unsaid.refuse("chat.choice_count", "cannot be more than one in Converse")
    if set(chat.modalities) - {"text"}:
        unsaid.refuse("chat.modalities", "cannot be chosen in Converse")
    return said


def _labels(chat: chat_pb2.ChatRequest, unsaid: Unsaid) -> Json:
    """The labels that Bedrock takes into its invocation log: so many, so long, of such characters."""
    labels: Json = {}
    for name, value in sorted(chat.metadata.items()):
        if len(labels) < _MOST_LABELS and _LABEL.fullmatch(name) and (not value or _LABEL.fullmatch(value)):
            labels[name] = value
        else:
            unsaid.leave_out(f"chat.metadata.{name}")
    return labels
