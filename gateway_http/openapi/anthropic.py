"""Conversations in Anthropic's dialect, and counting their tokens."""

from __future__ import annotations

from gateway_http.openapi.headers import OF_CONVERSATIONS, OF_COUNTS
from gateway_http.openapi.operations import EVENTS, JSON, question
from gateway_http.openapi.schema import (
    COUNT,
    MODEL,
    NUMBER,
    OBJECT,
    TEXT,
    YES_OR_NO,
    Json,
    an_object,
    array,
    const,
    either,
    one_of,
    or_null,
    ref,
    said,
)

_BLOCK = said(an_object("type", type=TEXT), "text, image, document, thinking, tool_use, tool_result, …")
_MESSAGE = an_object("role content", role=one_of("user", "assistant"), content=either(TEXT, array(_BLOCK)))
_TOOL = an_object("name", name=TEXT, description=TEXT, input_schema=OBJECT, cache_control=OBJECT)
_ASKED: Json = {
    "model": MODEL,
    "messages": array(_MESSAGE, minItems=1),
    "system": either(TEXT, array(_BLOCK)),
    "tools": array(_TOOL),
    "tool_choice": an_object("type", type=one_of("auto", "any", "tool", "none"), name=TEXT),
    "thinking": an_object("type", type=TEXT, budget_tokens=COUNT),
}
_USAGE = an_object(
    "input_tokens output_tokens",
    input_tokens=COUNT,
    output_tokens=COUNT,
    cache_creation_input_tokens=or_null(COUNT),
    cache_read_input_tokens=or_null(COUNT),
)

SCHEMAS: Json = {
    "MessageRequest": an_object(
        "model messages max_tokens",
        **_ASKED,
        max_tokens={"type": "integer", "minimum": 1},
        temperature=NUMBER,
        top_p=NUMBER,
        top_k=COUNT,
        stop_sequences=array(TEXT),
        metadata=an_object(user_id=TEXT),
        service_tier=TEXT,
        stream=YES_OR_NO,
    ),
    "Message": an_object(
        "id type role model content stop_reason usage",
        id=TEXT,
        type=const("message"),
        role=const("assistant"),
        model=TEXT,
        content=array(_BLOCK),
        stop_reason=or_null(TEXT),
        stop_sequence=or_null(TEXT),
        usage=_USAGE,
    ),
    "TokenCountRequest": an_object("model messages", **_ASKED),
    "TokenCount": an_object(
        "input_tokens",
        input_tokens=COUNT,
        context_management=said(OBJECT, "`original_input_tokens`: before the provider cleared any."),
        tollway=said(OBJECT, "Who counted, and how; what of the question was left out."),
    ),
}

_EVENTS = said(TEXT, "Where `stream` is true: server-sent events, ended by `message_stop` or by `error`.")
PATHS: Json = {
    "/v1/messages": {
        "post": question(
            "Answers a conversation, in Anthropic's dialect",
            ref("MessageRequest"),
            {JSON: either(ref("Message"), ref("RouteExplanation")), EVENTS: _EVENTS},
            tag="Conversations",
            takes=OF_CONVERSATIONS,
            errors="anthropic",
        )
    },
    "/v1/messages/count_tokens": {
        "post": question(
            "Counts the tokens of a conversation",
            ref("TokenCountRequest"),
            {JSON: ref("TokenCount")},
            tag="Conversations",
            takes=OF_COUNTS,
            errors="anthropic",
        )
    },
}
