"""What the model answers where it is not asked to chat: vectors, pictures, sound, words from sound, moderations, order.

Like everything the sim says, the same question gets the same answer, to the byte. Formats are OpenAI's; `/rerank` is
answered as compatible servers do.
"""

from __future__ import annotations

import math
import re
import struct
from array import array
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import orjson

from mesh.forms import BadForm, read_form
from services.providers.adapters.sim.answered import Answered, as_json, drawn_from, text_in, whole_in
from services.providers.adapters.sim.media import images, speech, transcription
from services.providers.adapters.sim.question import BadQuestion
from services.providers.adapters.sim.text import count
from services.providers.domain.json_objects import Json

_DIMENSIONS = 64
_MOST_DIMENSIONS = 4096
_MOST_INPUTS = 2048
_MOST_DOCUMENTS = 10_000
_FEW = 64
_words = re.compile(r"\S+").finditer
_CATEGORIES = (
    "harassment", "harassment/threatening", "hate", "hate/threatening", "illicit", "illicit/violent", "self-harm",
    "self-harm/instructions", "self-harm/intent", "sexual", "sexual/minors", "violence", "violence/graphic",
)  # fmt: skip


def read_fields(content_type: str, body: bytes) -> Json:
    """The fields of a request: of a form, files as bytes and the rest as text. Raises BadQuestion."""
    if content_type.startswith("multipart/form-data"):
        try:
            fields = read_form(content_type, body)
        except BadForm as bad:
            raise BadQuestion(f"The form {bad}.") from None
        return {each.name: each.value if each.filename else each.value.decode("utf-8", "replace") for each in fields}
    try:
        read = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadQuestion(f"The body of the request is not JSON: {error}") from None
    if not isinstance(read, dict):
        raise BadQuestion("The body of the request must be a JSON object.")
    return read


def is_long(path: str, fields: Json) -> bool:
    """Whether an answer to these fields may be much work, however few bytes they are."""
    given = fields.get("input")
    return path == "/audio/speech" or "dimensions" in fields or (isinstance(given, list) and len(given) > _FEW)


def embeddings(fields: Json) -> Answered:
    """One vector of length 1 for each input."""
    inputs = _inputs(fields.get("input"))
    dimensions = whole_in(fields, "dimensions", 1, _MOST_DIMENSIONS) or _DIMENSIONS
    coded = fields.get("encoding_format") == "base64"
    vectors = [_vector(given, dimensions) for given in inputs]
    tokens = sum(len(given) if isinstance(given, list) else count(given) for given in inputs)
    data = [
        {"object": "embedding", "index": i, "embedding": _coded(vector) if coded else _written(vector)}
        for i, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return as_json({"object": "list", "data": data, "model": fields.get("model"), "usage": usage})


def _inputs(given: Any) -> list[Any]:
    """Texts, and lists of tokens."""
    if isinstance(given, str):
        given = [given]
    if isinstance(given, list) and given and all(type(each) is int for each in given):
        given = [given]
    if not isinstance(given, list) or not given or not all(isinstance(each, (str, list)) and each for each in given):
        raise BadQuestion("'input' must be a text, an array of texts, or tokens.", "input")
    if len(given) > _MOST_INPUTS:
        raise BadQuestion(f"'input' must be at most {_MOST_INPUTS} texts.", "input")
    return given


def _vector(given: Any, dimensions: int) -> array[float]:
    random = drawn_from(given)
    drawn = [random.gauss(0.0, 1.0) for _ in range(dimensions)]
    length = math.sqrt(sum(number * number for number in drawn)) or 1.0
    return array("f", (number / length for number in drawn))


def _written(vector: array[float]) -> orjson.Fragment:
    """The numbers with as many digits as they have. Many vectors that were written at once would hold others up."""
    return orjson.Fragment(orjson.dumps([float(f"{number:.9g}") for number in vector]))


def _coded(vector: array[float]) -> str:
    return b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def moderations(fields: Json) -> Answered:
    """Flags as violence what speaks of harm."""
    inputs = fields.get("input")
    texts: list[Any] = inputs if isinstance(inputs, list) else [inputs]
    if texts and all(isinstance(each, dict) for each in texts):  # parts of one input
        texts = [" ".join(str(part.get("text", "")) for part in texts)]
    if not texts or not all(isinstance(each, str) for each in texts):
        raise BadQuestion("'input' must be a text, or an array of them.", "input")
    if len(texts) > _MOST_INPUTS:
        raise BadQuestion(f"'input' must be at most {_MOST_INPUTS} texts.", "input")
    results = [_moderated(text) for text in texts]
    identifier = f"modr-{drawn_from(texts).getrandbits(64):016x}"
    return as_json({"id": identifier, "model": fields.get("model"), "results": results})


def _moderated(text: str) -> Json:
    flagged = "harm" in text.lower()
    hit = {name: flagged and name == "violence" for name in _CATEGORIES}
    return {
        "flagged": flagged,
        "categories": hit,
        "category_scores": {name: 0.99 if hit[name] else 0.01 for name in _CATEGORIES},
        "category_applied_input_types": {name: ["text"] for name in _CATEGORIES},
    }


def rerank(fields: Json) -> Answered:
    """Documents by how many of the query's words they have."""
    query, documents = text_in(fields, "query"), fields.get("documents")
    if not isinstance(documents, list) or not 0 < len(documents) <= _MOST_DOCUMENTS:
        raise BadQuestion(f"'documents' must be an array of one to {_MOST_DOCUMENTS} documents.", "documents")
    texts = [str(each.get("text", "")) if isinstance(each, dict) else str(each) for each in documents]
    wanted = _distinct_words(query)
    scores = [len(wanted & _distinct_words(text)) / max(len(wanted), 1) for text in texts]
    best = sorted(range(len(texts)), key=lambda i: (-scores[i], i))[: whole_in(fields, "top_n", 1, _MOST_DOCUMENTS)]
    results: list[Json] = [{"index": i, "relevance_score": scores[i]} for i in best]
    if fields.get("return_documents"):
        results = [{**each, "document": {"text": texts[each["index"]]}} for each in results]
    tokens = count(query) + sum(map(count, texts))
    return as_json({
        "id": f"rerank-{drawn_from([query, *texts]).getrandbits(64):016x}",
        "model": fields.get("model"),
        "results": results,
        "usage": {"total_tokens": tokens, "search_units": 1},
        "meta": {"billed_units": {"search_units": 1}},
    })  # fmt: skip


def _distinct_words(text: str) -> set[str]:
    return {word[0] for word in _words(text.lower())}


def counted(fields: Json) -> Answered:
    """The tokens of all that is said."""
    return as_json({"object": "response.input_tokens", "input_tokens": sum(map(count, _strings(fields)))})


def _strings(fields: Json) -> Iterator[str]:
    left: list[Any] = [fields.get("input"), fields.get("instructions")]
    while left:
        each = left.pop()
        if isinstance(each, str):
            yield each
        elif isinstance(each, list):
            left.extend(each)
        elif isinstance(each, dict):
            left.extend(item for name, item in each.items() if name not in ("type", "role", "id"))


ENDPOINTS = {
    "/embeddings": embeddings,
    "/images/generations": images,
    "/audio/speech": speech,
    "/audio/transcriptions": transcription,
    "/moderations": moderations,
    "/rerank": rerank,
    "/responses/input_tokens": counted,
}
