"""ChatRequest to the body of generateContent and streamGenerateContent.

Whatever has no field of its own in the messages travels in their `extra_json` (`safetySettings`, `cachedContent`,
`generationConfig.speechConfig`, tools such as `googleSearch`), and is laid over what is built here, object into object;
tools are added to those that are here.
"""

from __future__ import annotations

import re
from urllib.parse import quote

from mesh.errors import invalid
from services.providers.adapters.gemini.conversation import put_conversation
from services.providers.adapters.gemini.generation import put_generation
from services.providers.adapters.gemini.telling import Telling
from services.providers.adapters.gemini.tools import put_tools
from services.providers.domain.json_objects import Json, merge, written
from services.providers.domain.unsaid import Unsaid
from services.providers.domain.wire import Encoded
from tollway.chat.v1 import chat_pb2

_UNSIGNED = re.compile(r"gemini-(1\.|2\.)|gemma|learnlm")
"""Models before the third generation, which ask for no signature."""
_TIERS = {"auto": "", "default": "standard", "standard": "standard", "flex": "flex", "priority": "priority"}


def encode_request(chat: chat_pb2.ChatRequest, model: str, stream: bool, unsaid: Unsaid) -> Encoded:
    """The call that asks `model` this question.

    Raises INVALID_REQUEST naming the field that is missing or is not JSON, and UNSUPPORTED_FEATURE for what Gemini
    cannot be told.
    """
    method = "streamGenerateContent?alt=sse" if stream else "generateContent"
    return Encoded(f"/{resource(model)}:{method}", written(question(chat, model, unsaid)))


def resource(model: str) -> str:
    """The model's name as a path: `models/gemini-2.5-pro`, whether or not it is given that way."""
    kind, slash, name = model.partition("/")
    if not slash or kind not in ("models", "tunedModels"):
        kind, name = "models", model
    return f"{kind}/{quote(name, safe='@')}"


def question(chat: chat_pb2.ChatRequest, model: str, unsaid: Unsaid) -> Json:
    """The body that asks it."""
    if not chat.messages:
        raise invalid("chat.messages", "must hold at least one message")
    telling = Telling(chat.dialect, unsaid)
    body: Json = {}
    put_conversation(chat, body, telling, stand_in=not _UNSIGNED.search(model))
    put_tools(chat, body, telling)
    put_generation(chat, model, body, telling)
    _put_labels(chat, body, telling)
    if chat.extra_json:
        extra = telling.extra(chat.extra_json, "chat")
        if isinstance(tools := extra.get("tools"), list):
            extra["tools"] = body.get("tools", []) + tools
        merge(body, extra)
    _ask_for_whole_calls(body, unsaid)
    return body


def _ask_for_whole_calls(body: Json, unsaid: Unsaid) -> None:
    config = body.get("toolConfig")
    calling = config.get("functionCallingConfig") if isinstance(config, dict) else None
    if isinstance(calling, dict) and calling.pop("streamFunctionCallArguments", False):
        path = "chat.toolConfig.functionCallingConfig.streamFunctionCallArguments"
        unsaid.refuse(path, "brings values at paths, which are no pieces of a call's JSON text")


def _put_labels(chat: chat_pb2.ChatRequest, body: Json, telling: Telling) -> None:
    if chat.service_tier not in ("", *_TIERS):
        telling.unsaid.refuse("chat.service_tier", f"is none of Gemini's tiers ({', '.join(_TIERS)})")
    elif tier := _TIERS.get(chat.service_tier):
        body["serviceTier"] = tier
    if chat.metadata:
        telling.unsaid.leave_out("chat.metadata")
    if chat.user:
        telling.unsaid.leave_out("chat.user")
