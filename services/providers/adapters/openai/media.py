"""Pictures and sound in an answer: fields of its message, beside the text."""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as NotBase64
from typing import Any, Protocol

from services.providers.domain.json_objects import Json, encode_json
from tollway.chat.v1 import chat_pb2


class Parts(Protocol):
    """Where parts are added."""

    def add(self) -> chat_pb2.ContentPart: ...


def take_images(said: Json, into: Parts) -> None:
    """Takes out the pictures, as OpenRouter gives them, if they are no more than pictures."""
    images = said.get("images")
    if images and isinstance(images, list) and all(map(_is_picture, images)):
        del said["images"]
        for image in images:
            into.add().image.url = image["image_url"]["url"]


def _is_picture(image: Any) -> bool:
    """Its number says no more than its place."""
    match image:
        case {"type": "image_url", "image_url": {"url": str(), **more}, **rest}:
            return not more and rest.keys() <= {"index"}
    return False


def take_audio(message: Json, into: chat_pb2.Message) -> None:
    """Takes out the sound; its id, and how long that is good for, stay beside it."""
    audio = message.get("audio")
    if not isinstance(audio, dict) or not isinstance(audio.get("data"), str):
        return
    try:
        data = b64decode(audio["data"], validate=True)
    except NotBase64:
        return
    transcript = audio.get("transcript") or ""
    if not data or not isinstance(transcript, str):
        return
    part = into.content.add()
    part.audio.data, part.audio.transcript = data, transcript
    rest = {name: value for name, value in audio.items() if name not in ("data", "transcript")}
    if isinstance(rest.get("format"), str):
        part.audio.format = rest.pop("format")
    if rest:
        part.extra_json = encode_json({"audio": rest})
    del message["audio"]
