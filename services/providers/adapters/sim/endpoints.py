"""What the model answers where it is not asked to chat: vectors, pictures, sound, words from sound, moderations, order.

Like everything the sim says, the same question gets the same answer, to the byte. Formats are OpenAI's; `/rerank` is
answered as compatible servers do.
"""

from __future__ import annotations

import math
import struct
import zlib
from array import array
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from random import Random
from typing import Any

import orjson

from mesh.forms import BadForm, read_form
from services.providers.adapters.sim import wire
from services.providers.adapters.sim.question import BadQuestion
from services.providers.adapters.sim.text import count, prose

Json = dict[str, Any]

_DIMENSIONS = 64
_MOST_DIMENSIONS = 4096
_RATE = 8_000
"""Samples a second."""
_SAMPLES_PER_TOKEN = 800
_BYTES_PER_SECOND = 16_000
_PIECE = 4096
_CATEGORIES = ("harassment", "hate", "illicit", "self-harm", "sexual", "violence")


@dataclass(frozen=True, slots=True)
class Answered:
    """A whole answer, or, where `pieces` are several, one that comes piece by piece."""

    content_type: str
    pieces: tuple[bytes, ...]


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


def embeddings(fields: Json) -> Answered:
    """One vector of length 1 for each input."""
    inputs = _inputs(fields.get("input"))
    dimensions = _whole(fields, "dimensions", 1, _MOST_DIMENSIONS) or _DIMENSIONS
    coded = fields.get("encoding_format") == "base64"
    vectors = [_vector(given, dimensions) for given in inputs]
    tokens = sum(len(given) if isinstance(given, list) else count(given) for given in inputs)
    data = [
        {"object": "embedding", "index": i, "embedding": _coded(vector) if coded else _decimal(vector)}
        for i, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return _json({"object": "list", "data": data, "model": fields.get("model"), "usage": usage})


def _inputs(given: Any) -> list[Any]:
    """Texts, and lists of tokens."""
    if isinstance(given, str):
        given = [given]
    if isinstance(given, list) and given and all(type(each) is int for each in given):
        given = [given]
    if not isinstance(given, list) or not given or not all(isinstance(each, (str, list)) and each for each in given):
        raise BadQuestion("'input' must be a text, an array of texts, or tokens.", "input")
    return given


def _vector(given: Any, dimensions: int) -> array[float]:
    random = _random(given)
    drawn = [random.gauss(0.0, 1.0) for _ in range(dimensions)]
    length = math.sqrt(sum(number * number for number in drawn)) or 1.0
    return array("f", (number / length for number in drawn))


def _decimal(vector: array[float]) -> list[float]:
    return [float(f"{number:.9g}") for number in vector]


def _coded(vector: array[float]) -> str:
    return b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def images(fields: Json) -> Answered:
    """Pictures of one colour."""
    prompt, number = _text(fields, "prompt"), _whole(fields, "n", 1, 10) or 1
    partial = _whole(fields, "partial_images", 0, 3) or 0
    pictures = [b64encode(_picture(_random([prompt, i]))).decode() for i in range(number)]
    tokens = count(prompt)
    usage = {
        "input_tokens": tokens,
        "output_tokens": 100 * number,
        "total_tokens": tokens + 100 * number,
        "input_tokens_details": {"text_tokens": tokens, "image_tokens": 0},
        "output_tokens_details": {"text_tokens": 0, "image_tokens": 100 * number},
    }
    if not fields.get("stream"):
        return _json({"created": wire.CREATED, "data": [{"b64_json": each} for each in pictures], "usage": usage})
    about = {"created_at": wire.CREATED, "size": "8x8", "quality": "low", "background": "opaque"}
    about["output_format"] = "png"
    events = [("partial_image", {"b64_json": pictures[0], "partial_image_index": i}) for i in range(partial)]
    events += [("completed", {"b64_json": each, "usage": usage}) for each in pictures]
    return _events((f"image_generation.{name}", {**told, **about}) for name, told in events)


def _picture(random: Random) -> bytes:
    """A PNG of eight by eight pixels."""
    row = b"\0" + bytes(random.randrange(256) for _ in range(3)) * 8
    head = struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(row * 8)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )


def speech(fields: Json) -> Answered:
    """A tone of a tenth of a second for each token, as WAV, whatever format was asked for; `pcm` without its head."""
    said = _text(fields, "input")
    tokens = count(said)
    random = _random(said)
    sound = b"".join(_tone(random.randrange(200, 800)) for _ in range(tokens))
    if fields.get("stream_format") == "sse":
        usage = {"input_tokens": tokens, "output_tokens": 2 * tokens, "total_tokens": 3 * tokens}
        told = [("speech.audio.delta", {"audio": b64encode(each).decode()}) for each in _cut(sound)]
        return _events([*told, ("speech.audio.done", {"usage": usage})])
    if fields.get("response_format") == "pcm":
        return Answered("audio/pcm", _cut(sound))
    head = b"RIFF" + struct.pack("<I", 36 + len(sound)) + b"WAVEfmt "
    head += struct.pack("<IHHIIHH", 16, 1, 1, _RATE, 2 * _RATE, 2, 16) + b"data" + struct.pack("<I", len(sound))
    return Answered("audio/wav", _cut(head + sound))


def _tone(pitch: int) -> bytes:
    wave = (round(8000 * math.sin(2 * math.pi * pitch * i / _RATE)) for i in range(_SAMPLES_PER_TOKEN))
    return struct.pack(f"<{_SAMPLES_PER_TOKEN}h", *wave)


def transcription(fields: Json) -> Answered:
    """Words that the sound's bytes stand for here: two for each second."""
    sound = fields.get("file")
    if not isinstance(sound, bytes):
        raise BadQuestion("'file' must be a file.", "file")
    seconds = max(len(sound) / _BYTES_PER_SECOND, 0.5)
    words = prose(_random(sound.hex()), max(round(2 * seconds), 4))
    said, heard = "".join(words), round(10 * seconds)
    usage = {
        "type": "tokens",
        "input_tokens": heard,
        "output_tokens": len(words),
        "total_tokens": heard + len(words),
        "input_token_details": {"text_tokens": 0, "audio_tokens": heard},
    }
    if fields.get("stream") in (True, "true", "True", "1"):
        told: list[tuple[str, Json]] = [("transcript.text.delta", {"delta": word}) for word in words]
        return _events([*told, ("transcript.text.done", {"text": said, "usage": usage})])
    match fields.get("response_format") or "json":
        case "text":
            return Answered("text/plain; charset=utf-8", (f"{said}\n".encode(),))
        case "srt":
            return Answered("text/plain; charset=utf-8", (f"1\n00:00:00,000 --> 00:00:01,000\n{said}\n".encode(),))
        case "vtt":
            text = f"WEBVTT\n\n00:00:00.000 --> 00:00:01.000\n{said}\n"
            return Answered("text/vtt; charset=utf-8", (text.encode(),))
        case "verbose_json":
            length = {"type": "duration", "seconds": math.ceil(seconds)}
            return _json({"task": "transcribe", "language": "english", "duration": seconds, "text": said,
                          "segments": [], "usage": length})  # fmt: skip
    return _json({"text": said, "usage": usage})


def moderations(fields: Json) -> Answered:
    """Flags as violence what speaks of harm."""
    inputs = fields.get("input")
    texts: list[Any] = inputs if isinstance(inputs, list) else [inputs]
    if not texts or not all(isinstance(each, (str, dict)) for each in texts):
        raise BadQuestion("'input' must be a text, or an array of them.", "input")
    if isinstance(texts[0], dict):  # parts of one input
        texts = [" ".join(str(part.get("text", "")) for part in texts if isinstance(part, dict))]
    results = [_moderated(text) for text in texts]
    identifier = f"modr-{_random(texts).getrandbits(64):016x}"
    return _json({"id": identifier, "model": fields.get("model"), "results": results})


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
    query, documents = _text(fields, "query"), fields.get("documents")
    if not isinstance(documents, list) or not documents:
        raise BadQuestion("'documents' must be an array of at least one document.", "documents")
    texts = [str(each.get("text", "")) if isinstance(each, dict) else str(each) for each in documents]
    wanted = set(query.lower().split())
    scores = [len(wanted & set(text.lower().split())) / max(len(wanted), 1) for text in texts]
    best = sorted(range(len(texts)), key=lambda i: (-scores[i], i))[: _whole(fields, "top_n", 1, 10_000)]
    results: list[Json] = [{"index": i, "relevance_score": scores[i]} for i in best]
    if fields.get("return_documents"):
        results = [{**each, "document": {"text": texts[each["index"]]}} for each in results]
    tokens = count(query) + sum(map(count, texts))
    return _json({
        "id": f"rerank-{_random([query, *texts]).getrandbits(64):016x}",
        "model": fields.get("model"),
        "results": results,
        "usage": {"total_tokens": tokens, "search_units": 1},
        "meta": {"billed_units": {"search_units": 1}},
    })  # fmt: skip


def counted(fields: Json) -> Answered:
    """The tokens of all that is said."""
    return _json({"object": "response.input_tokens", "input_tokens": sum(map(count, _strings(fields)))})


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


def _text(fields: Json, name: str) -> str:
    given = fields.get(name)
    if not isinstance(given, str) or not given:
        raise BadQuestion(f"'{name}' must be a text.", name)
    return given


def _whole(fields: Json, name: str, least: int, most: int) -> int | None:
    given = fields.get(name)
    if given is not None and (type(given) is not int or not least <= given <= most):
        raise BadQuestion(f"'{name}' must be a whole number from {least} to {most}.", name)
    return given


def _random(given: Any) -> Random:
    return Random(blake2b(orjson.dumps(given), digest_size=8).digest())


def _json(body: Json) -> Answered:
    return Answered("application/json", (orjson.dumps(body),))


def _events(told: Any) -> Answered:
    pieces = (f"event: {name}\n".encode() + wire.event({"type": name, **data}) for name, data in told)
    return Answered("text/event-stream; charset=utf-8", tuple(pieces))


def _cut(sound: bytes) -> tuple[bytes, ...]:
    return tuple(sound[start : start + _PIECE] for start in range(0, len(sound), _PIECE))
