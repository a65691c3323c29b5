"""What is no conversation: vectors, and what is passed on."""

from __future__ import annotations

from gateway_http.openapi.operations import EVENTS, FORM, JSON, question
from gateway_http.openapi.schema import (
    BINARY,
    COUNT,
    MODEL,
    NAME,
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

_TOKEN: Json = {"type": "integer", "minimum": 0, "maximum": 2**31 - 1}
_TOKENS = array(_TOKEN, minItems=1)
_VECTOR = either(array(NUMBER), said(TEXT, "Base64 of 32-bit floats, the lowest byte first."))
_EMBEDDING_USAGE = an_object("prompt_tokens total_tokens", prompt_tokens=COUNT, total_tokens=COUNT)
_INPUT = either(NAME, array(NAME, minItems=1), _TOKENS, array(_TOKENS, minItems=1))
_TEXTS = either(TEXT, array(TEXT, minItems=1), array(OBJECT, minItems=1))

SCHEMAS: Json = {
    "EmbeddingRequest": an_object(
        "model input",
        model=MODEL,
        input=said(_INPUT, "A text, texts, tokens, or arrays of tokens."),
        dimensions={"type": "integer", "minimum": 1, "maximum": 2**31 - 1},
        encoding_format=one_of("float", "base64"),
        user=TEXT,
    ),
    "EmbeddingList": an_object(
        "object data model usage",
        object=const("list"),
        data=array(
            an_object("object index embedding", object=const("embedding"), index=COUNT, embedding=_VECTOR), minItems=1
        ),
        model=TEXT,
        usage=or_null(_EMBEDDING_USAGE),
    ),
    "ImageRequest": an_object(
        "prompt",
        model=MODEL,
        prompt=TEXT,
        n=WHOLE,
        size=TEXT,
        quality=TEXT,
        background=TEXT,
        output_format=TEXT,
        response_format=TEXT,
        stream=YES_OR_NO,
        partial_images=COUNT,
        user=TEXT,
    ),
    "SpeechRequest": an_object(
        "model input",
        model=MODEL,
        input=TEXT,
        voice=either(TEXT, OBJECT),
        instructions=TEXT,
        response_format=TEXT,
        speed=NUMBER,
        stream_format=one_of("audio", "sse"),
    ),
    "TranscriptionForm": an_object(
        "model file",
        model=MODEL,
        file=BINARY,
        language=TEXT,
        prompt=TEXT,
        response_format=TEXT,
        temperature=TEXT,
        stream=TEXT,
    ),
    "ModerationRequest": an_object("input", model=MODEL, input=_TEXTS),
    "RerankRequest": an_object(
        "model query documents",
        model=MODEL,
        query=TEXT,
        documents=array(either(TEXT, OBJECT), minItems=1),
        top_n=COUNT,
        return_documents=YES_OR_NO,
    ),
    "PassedOn": said(OBJECT, "As the provider gave it."),
}

_EVENTS = said(TEXT, "As the provider sends them. What breaks off ends with an error.")


def _passed_on(summary: str, request: str, *kinds: str, content_type: str = JSON) -> Json:
    answers = {kind: ref("PassedOn") if kind == JSON else _EVENTS if kind == EVENTS else BINARY for kind in kinds}
    return {"post": question(summary, ref(request), answers, tag="Passed on", content_type=content_type)}


PATHS: Json = {
    "/v1/embeddings": {
        "post": question(
            "Finds places for texts", ref("EmbeddingRequest"), {JSON: ref("EmbeddingList")}, tag="Embeddings"
        )
    },
    "/v1/images/generations": _passed_on("Makes pictures from words", "ImageRequest", JSON, EVENTS),
    "/v1/audio/speech": _passed_on(
        "Makes speech from words", "SpeechRequest", "audio/*", "application/octet-stream", EVENTS, JSON
    ),
    "/v1/audio/transcriptions": _passed_on(
        "Makes words from speech", "TranscriptionForm", JSON, EVENTS, "text/*", content_type=FORM
    ),
    "/v1/moderations": _passed_on("Tells what is wrong with a text", "ModerationRequest", JSON),
    "/v1/rerank": _passed_on("Puts documents in order", "RerankRequest", JSON),
}
