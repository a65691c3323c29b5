"""Conversations in OpenAI's dialects: chat completions, completions of old, and responses."""

from __future__ import annotations

from gateway_http.openapi.headers import OF_CONVERSATIONS
from gateway_http.openapi.operations import EVENTS, JSON, question
from gateway_http.openapi.schema import (
    ANYTHING,
    COUNT,
    MODEL,
    NUMBER,
    OBJECT,
    TEXT,
    WHOLE,
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

_STRINGS = array(TEXT)
_STOP = said(either(TEXT, array(TEXT)), "Where to stop.")
_MODELS = said(array(MODEL, maxItems=16), "Whom to ask after `model`, in order.")
_SAMPLING: Json = {
    "temperature": NUMBER,
    "top_p": NUMBER,
    "seed": WHOLE,
    "frequency_penalty": NUMBER,
    "presence_penalty": NUMBER,
}

_PART = an_object(
    "type",
    type=one_of("text", "image_url", "input_audio", "file", "refusal"),
    text=TEXT,
    image_url=an_object("url", url=TEXT, detail=TEXT),
    input_audio=an_object("data format", data=TEXT, format=TEXT),
    file=OBJECT,
    refusal=TEXT,
)
_TOOL_CALL = an_object(
    "id type", id=TEXT, type=TEXT, function=an_object("name arguments", name=TEXT, arguments=TEXT), custom=OBJECT
)
_MESSAGE = an_object(
    "role",
    role=one_of("system", "developer", "user", "assistant", "tool", "function"),
    content=or_null(either(TEXT, array(_PART))),
    name=TEXT,
    refusal=or_null(TEXT),
    reasoning_content=TEXT,
    tool_calls=array(_TOOL_CALL),
    tool_call_id=TEXT,
)
_FUNCTION = an_object("name", name={"type": "string", "minLength": 1}, description=TEXT, parameters=OBJECT,
                      strict=YES_OR_NO)  # fmt: skip
_TOOL = an_object("type function", type=const("function"), function=_FUNCTION)
_FORMAT = either(
    an_object("type", type=one_of("text", "json_object")),
    an_object("type json_schema", type=const("json_schema"), json_schema=an_object("name", name=TEXT, schema=OBJECT)),
)

_CHAT = an_object(
    "model messages",
    model=MODEL,
    models=_MODELS,
    messages=array(_MESSAGE, minItems=1),
    **_SAMPLING,
    n={"type": "integer", "minimum": 1, "maximum": 128},
    stop=_STOP,
    max_completion_tokens=COUNT,
    max_tokens=COUNT,
    logprobs=YES_OR_NO,
    top_logprobs=COUNT,
    logit_bias={"type": "object", "additionalProperties": NUMBER},
    tools=array(_TOOL),
    tool_choice=either(
        one_of("auto", "none", "required"),
        an_object("type function", type=const("function"), function=an_object("name", name=TEXT)),
    ),
    parallel_tool_calls=YES_OR_NO,
    response_format=_FORMAT,
    reasoning_effort=TEXT,
    modalities=_STRINGS,
    audio=OBJECT,
    prediction=OBJECT,
    service_tier=TEXT,
    metadata={"type": "object", "additionalProperties": TEXT},
    user=TEXT,
    stream=YES_OR_NO,
    stream_options=said(an_object(include_usage=YES_OR_NO), "Only where `stream` is true."),
)

_USAGE = an_object(
    "prompt_tokens completion_tokens total_tokens",
    prompt_tokens=COUNT,
    completion_tokens=COUNT,
    total_tokens=COUNT,
    prompt_tokens_details=OBJECT,
    completion_tokens_details=OBJECT,
)
_CHOICE = an_object(
    "index message finish_reason",
    index=COUNT,
    message=an_object("role content", role=TEXT, content=or_null(TEXT), refusal=or_null(TEXT),
                      reasoning_content=TEXT, tool_calls=array(_TOOL_CALL)),
    logprobs=or_null(OBJECT),
    finish_reason=or_null(TEXT),
)  # fmt: skip
_COMPLETION = an_object(
    "id object created model choices",
    id=TEXT,
    object=const("chat.completion"),
    created=WHOLE,
    model=TEXT,
    choices=array(_CHOICE),
    usage=or_null(_USAGE),
    service_tier=or_null(TEXT),
    system_fingerprint=or_null(TEXT),
)
_CANDIDATE = an_object("deployment stands_for reason", deployment=TEXT, stands_for=TEXT, reason=TEXT)
_RULE = an_object("name matched effect error", name=TEXT, matched=YES_OR_NO, effect=or_null(TEXT), error=or_null(TEXT))
_EXPLANATION = an_object(
    "object model route strategy needs input_tokens candidates skipped rules refusal",
    object=const("route.explanation"),
    model=TEXT,
    route=TEXT,
    strategy=TEXT,
    needs=_STRINGS,
    input_tokens=COUNT,
    candidates=array(_CANDIDATE),
    skipped=array(_CANDIDATE),
    rules=array(_RULE),
    refusal=or_null(TEXT),
)

_OLD = an_object(
    "model prompt",
    model=MODEL,
    prompt=said(either(TEXT, _STRINGS, array(WHOLE), array(array(WHOLE))), "What to go on from."),
    suffix=TEXT,
    echo=YES_OR_NO,
    best_of=COUNT,
    logprobs=COUNT,
    n={"type": "integer", "minimum": 1, "maximum": 128},
    max_tokens=COUNT,
    stop=_STOP,
    **_SAMPLING,
    user=TEXT,
    stream=YES_OR_NO,
    stream_options=an_object(include_usage=YES_OR_NO),
)
_OLD_ANSWER = an_object(
    "id object created model choices",
    id=TEXT,
    object=const("text_completion"),
    created=WHOLE,
    model=TEXT,
    choices=array(an_object("index text finish_reason", index=COUNT, text=TEXT, finish_reason=or_null(TEXT),
                            logprobs=or_null(OBJECT))),
    usage=or_null(_USAGE),
)  # fmt: skip

_ITEM = said(OBJECT, "A message, a call of a tool or its output, or a piece of reasoning.")
_RESPONSE_REQUEST = an_object(
    "model input",
    model=MODEL,
    input=either(TEXT, array(_ITEM)),
    instructions=TEXT,
    max_output_tokens=COUNT,
    temperature=NUMBER,
    top_p=NUMBER,
    tools=array(OBJECT),
    tool_choice=either(TEXT, OBJECT),
    parallel_tool_calls=YES_OR_NO,
    text=an_object(format=OBJECT, verbosity=TEXT),
    reasoning=an_object(effort=TEXT, summary=TEXT),
    include=_STRINGS,
    metadata={"type": "object", "additionalProperties": TEXT},
    service_tier=TEXT,
    store=said(YES_OR_NO, "Nothing is stored, whatever it says."),
    stream=YES_OR_NO,
    user=TEXT,
)
_RESPONSE = an_object(
    "id object created_at status model output",
    id=TEXT,
    object=const("response"),
    created_at=NUMBER,
    status=one_of("completed", "incomplete", "failed", "in_progress"),
    model=TEXT,
    output=array(_ITEM),
    usage=or_null(
        an_object("input_tokens output_tokens total_tokens", input_tokens=COUNT, output_tokens=COUNT,
                  total_tokens=COUNT)
    ),
    error=or_null(ANYTHING),
)  # fmt: skip

SCHEMAS: Json = {
    "ChatCompletionRequest": _CHAT,
    "ChatCompletion": _COMPLETION,
    "RouteExplanation": _EXPLANATION,
    "CompletionRequest": _OLD,
    "Completion": _OLD_ANSWER,
    "ResponseRequest": _RESPONSE_REQUEST,
    "Response": _RESPONSE,
}


def _asked(summary: str, request: str, answer: str) -> Json:
    answers = {
        JSON: either(ref(answer), ref("RouteExplanation")),
        EVENTS: said(TEXT, "Where `stream` is true: server-sent events, ended by one error or by the dialect's mark."),
    }
    return question(summary, ref(request), answers, tag="Conversations", takes=OF_CONVERSATIONS)


PATHS: Json = {
    "/v1/chat/completions": {
        "post": _asked("Answers a conversation", "ChatCompletionRequest", "ChatCompletion"),
    },
    "/v1/completions": {"post": _asked("Goes on with a text", "CompletionRequest", "Completion")},
    "/v1/responses": {"post": _asked("Answers a conversation, in typed items", "ResponseRequest", "Response")},
}
