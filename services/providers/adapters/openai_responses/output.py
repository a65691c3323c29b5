"""The items of a response as what a message says."""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as NotBase64

from services.providers.adapters.openai.logprobs import keep_logprobs
from services.providers.adapters.openai.tool_calls import arguments
from services.providers.adapters.openai_responses.items import DIALECT, ITEM
from services.providers.adapters.openai_responses.proof import proof_in
from services.providers.domain.json_objects import Json, encode_json
from tollway.chat.v1 import chat_pb2

BETWEEN_SUMMARIES = "\n\n"
CALLS = {"function_call": ("function", "arguments"), "custom_tool_call": ("custom", "input")}
"""Items that call a tool of the client's: the type of the call, and where its arguments stand."""


def keep_item(item: Json, choice: chat_pb2.Choice) -> None:
    """Adds a finished item to what the choice says."""
    kind = item.get("type")
    if kind == "message":
        _message(item, choice)
    elif kind == "reasoning":
        part = choice.message.content.add()
        part.reasoning.text, part.reasoning.redacted = summary_of(item), proof_in(item)
        if part.reasoning.redacted:
            part.reasoning.issuer = DIALECT
        put_rest(part, reasoning_rest(item))
    elif kind in CALLS:
        _call(item, kind, choice.message.tool_calls.add(place=len(choice.message.content)))
    else:
        whole(item, choice.message.content.add())


def _message(item: Json, choice: chat_pb2.Choice) -> None:
    beside = {ITEM: rest} if (rest := message_rest(item)) else {}
    for content in item.get("content") or ():
        part = choice.message.content.add()
        _content(content, part, choice)
        put_rest(part, {**content, **beside})
        beside = {}


def _content(content: Json, part: chat_pb2.ContentPart, choice: chat_pb2.Choice) -> None:
    """Takes out of a part what has a place; what is of another kind stays whole."""
    kind = content.get("type")
    if kind == "output_text":
        part.text = content.pop("text")
        for annotation in content.pop("annotations", None) or ():
            keep_citation(annotation, part.citations.add())
        if logprobs := content.pop("logprobs", None):
            around: Json = {}
            keep_logprobs({"content": logprobs}, choice, around)
            content.update(around)
    elif kind == "refusal":
        part.refusal = content.pop("refusal")
    else:
        return
    del content["type"]


def _call(item: Json, kind: str, into: chat_pb2.ToolCall) -> None:
    into.type, said = CALLS[kind]
    into.id, into.name = item.pop("call_id", None) or "", item.pop("name", None) or ""
    into.arguments = arguments(item.pop(said, None))
    if rest := call_rest(item):
        into.extra_json = encode_json(rest)


def whole(item: Json, part: chat_pb2.ContentPart) -> None:
    """An item of a kind that has no place, as it is; a picture that was drawn has one."""
    if item.get("type") == "image_generation_call" and isinstance(item.get("result"), str):
        try:
            part.image.data = b64decode(item["result"], validate=True)
        except NotBase64:
            part.ClearField("image")
        else:
            del item["result"]
            part.image.media_type = f"image/{item.get('output_format') or 'png'}"
    part.extra_json = encode_json(item)


def put_rest(part: chat_pb2.ContentPart, rest: Json) -> None:
    if rest:
        part.extra_json = encode_json(rest)


def summary_of(item: Json) -> str:
    """What a reasoning item shows of the thinking: its summary, or else the thinking itself."""
    summary = [each["text"] for each in item.get("summary") or ()]
    return BETWEEN_SUMMARIES.join(summary) if summary else "".join(each["text"] for each in item.get("content") or ())


def reasoning_rest(item: Json) -> Json:
    """What of a reasoning item does not follow from its text and its proof."""
    rest = _rest(item, "id", "encrypted_content")
    if len(item.get("summary") or ()) == 1 or not (item.get("summary") or item.get("content")):
        rest.pop("summary", None)
    return rest


def message_rest(item: Json) -> Json:
    return _rest(item, "id", "role", "content")


def call_rest(item: Json) -> Json:
    return _rest(item, "id")


def _rest(item: Json, *known: str) -> Json:
    """The fields of an item that have no place, without those that say the usual."""
    return {
        name: value
        for name, value in item.items()
        if name not in ("type", *known) and value is not None and (name, value) != ("status", "completed")
    }


def keep_citation(annotation: Json, into: chat_pb2.Citation) -> None:
    """An annotation in the Responses' shape, which is flat."""
    into.type = annotation.pop("type", None) or ""
    into.url, into.title = annotation.pop("url", None) or "", annotation.pop("title", None) or ""
    for name, field in (("start_index", "answer_start"), ("end_index", "answer_end")):
        if annotation.get(name) is not None:
            setattr(into, field, annotation.pop(name))
    if annotation:
        into.extra_json = encode_json(annotation)
