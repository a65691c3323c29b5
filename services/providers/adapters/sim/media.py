"""Pictures, sound, and words from sound."""

from __future__ import annotations

import math
import struct
import zlib
from base64 import b64encode
from random import Random

from services.providers.adapters.sim import wire
from services.providers.adapters.sim.answered import Answered, as_events, as_json, drawn_from, text_in, whole_in
from services.providers.adapters.sim.question import BadQuestion
from services.providers.adapters.sim.text import count, prose
from services.providers.domain.json_objects import Json

_RATE = 8_000
"""Samples a second."""
_SAMPLES_PER_TOKEN = 800
_BYTES_PER_SECOND = 16_000
_PIECE = 4096
_LONGEST_SPEECH = 4096


def images(fields: Json) -> Answered:
    """Pictures of one colour."""
    prompt, number = text_in(fields, "prompt"), whole_in(fields, "n", 1, 10) or 1
    partial = whole_in(fields, "partial_images", 0, 3) or 0
    pictures = [b64encode(_picture(drawn_from([prompt, i]))).decode() for i in range(number)]
    tokens = count(prompt)
    usage = {
        "input_tokens": tokens,
        "output_tokens": 100 * number,
        "total_tokens": tokens + 100 * number,
        "input_tokens_details": {"text_tokens": tokens, "image_tokens": 0},
        "output_tokens_details": {"text_tokens": 0, "image_tokens": 100 * number},
    }
    if not fields.get("stream"):
        return as_json({"created": wire.CREATED, "data": [{"b64_json": each} for each in pictures], "usage": usage})
    about = {"created_at": wire.CREATED, "size": "8x8", "quality": "low", "background": "opaque"}
    about["output_format"] = "png"
    events = [("partial_image", {"b64_json": pictures[0], "partial_image_index": i}) for i in range(partial)]
    events += [("completed", {"b64_json": each, "usage": usage}) for each in pictures]
    return as_events((f"image_generation.{name}", {**told, **about}) for name, told in events)


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
    said = text_in(fields, "input")
    if len(said) > _LONGEST_SPEECH:
        raise BadQuestion(f"'input' must be at most {_LONGEST_SPEECH} characters.", "input")
    tokens = count(said)
    random = drawn_from(said)
    sound = b"".join(_tone(random.randrange(200, 800)) for _ in range(tokens))
    if fields.get("stream_format") == "sse":
        usage = {"input_tokens": tokens, "output_tokens": 2 * tokens, "total_tokens": 3 * tokens}
        told = [("speech.audio.delta", {"audio": b64encode(each).decode()}) for each in _cut(sound)]
        return as_events([*told, ("speech.audio.done", {"usage": usage})])
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
    words = prose(drawn_from(sound.hex()), max(round(2 * seconds), 4))
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
        return as_events([*told, ("transcript.text.done", {"text": said, "usage": usage})])
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
            return as_json({"task": "transcribe", "language": "english", "duration": seconds, "text": said,
                          "segments": [], "usage": length})  # fmt: skip
    return as_json({"text": said, "usage": usage})


def _cut(sound: bytes) -> tuple[bytes, ...]:
    return tuple(sound[start : start + _PIECE] for start in range(0, len(sound), _PIECE))
