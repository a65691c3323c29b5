"""What a question must be like before anyone is asked: every problem at once, each with the path of its field."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import orjson

from mesh.bounds import MAX_CHOICES
from mesh.errors import FieldViolation
from tollway.chat.v1.chat_pb2 import ChatRequest, Role
from tollway.chat.v1.embedding_pb2 import EmbeddingRequest
from tollway.chat.v1.forwarding_pb2 import Endpoint, ForwardedQuestion
from tollway.router.v1.router_pb2 import CacheMode, Preferences

MAX_MODEL = 256
MAX_REQUEST_ID = 128
MAX_TAGS = 64
MAX_TAG = 128
MAX_MODELS = 16
MAX_SESSION = 128
MAX_IDEMPOTENCY_KEY = 255

MAX_INPUTS = 100_000
MAX_FIELDS = 1024

_CACHE_MODES = frozenset(CacheMode.values())
_ENDPOINTS = frozenset(Endpoint.values()) - {Endpoint.ENDPOINT_UNSPECIFIED}
_ROLES = frozenset(Role.values()) - {Role.ROLE_UNSPECIFIED}
_TOOL_ROLES = (Role.ROLE_TOOL, Role.ROLE_FUNCTION)
_INSTRUCTIONS = (Role.ROLE_SYSTEM, Role.ROLE_DEVELOPER)


def violations(
    chat: ChatRequest, request_id: str, tags: Sequence[str], preferences: Preferences
) -> tuple[FieldViolation, ...]:
    """Everything that is wrong with the question; empty where it can be asked."""
    found = (*_chat_violations(chat), *_request_violations(request_id, tags))
    return (*found, *_preference_violations(preferences)) if preferences.ByteSize() else found


def embedding_violations(
    embedding: EmbeddingRequest, request_id: str, tags: Sequence[str], preferences: Preferences
) -> tuple[FieldViolation, ...]:
    """The same of a question for vectors."""
    return (
        *_model_violations("embedding.model", embedding.model),
        *_input_violations(embedding),
        *_request_violations(request_id, tags),
        *_preference_violations(preferences),
    )


def forwarding_violations(
    question: ForwardedQuestion, request_id: str, tags: Sequence[str], preferences: Preferences
) -> tuple[FieldViolation, ...]:
    """The same of a question that is passed on."""
    return (
        *_model_violations("question.model", question.model),
        *_body_violations(question),
        *_request_violations(request_id, tags),
        *_preference_violations(preferences),
    )


def _model_violations(field: str, model: str) -> Iterator[FieldViolation]:
    if not model:
        yield FieldViolation(field, "name a model")
    elif not _is_name(model):
        yield FieldViolation(field, f"must be at most {MAX_MODEL} printable characters")


def _input_violations(embedding: EmbeddingRequest) -> Iterator[FieldViolation]:
    if not 1 <= len(embedding.inputs) <= MAX_INPUTS:
        yield FieldViolation("embedding.inputs", f"must be from 1 to {MAX_INPUTS:,}")
    for index, given in enumerate(embedding.inputs):
        if not (given.text or given.tokens.tokens):
            yield FieldViolation(f"embedding.inputs[{index}]", "must not be empty")
            break
    if embedding.HasField("dimensions") and embedding.dimensions < 1:
        yield FieldViolation("embedding.dimensions", "must be at least 1")


def _body_violations(question: ForwardedQuestion) -> Iterator[FieldViolation]:
    if question.endpoint not in _ENDPOINTS:
        yield FieldViolation("question.endpoint", "is not a known endpoint")
    if question.WhichOneof("body") is None:
        yield FieldViolation("question.json", "must be given, or a form")
    elif not question.HasField("form") and not _is_object(question.json):
        yield FieldViolation("question.json", "must be a JSON object")
    for index, field in enumerate(question.form.fields[: MAX_FIELDS + 1]):
        if index == MAX_FIELDS:
            yield FieldViolation("question.form.fields", f"must be at most {MAX_FIELDS}")
        elif not field.name:
            yield FieldViolation(f"question.form.fields[{index}].name", "must not be empty")


def _is_object(json: bytes) -> bool:
    try:
        return isinstance(orjson.loads(json), dict)
    except orjson.JSONDecodeError:
        return False


def _chat_violations(chat: ChatRequest) -> Iterator[FieldViolation]:
    yield from _model_violations("chat.model", chat.model)
    if not chat.messages:
        yield FieldViolation("chat.messages", "needs at least one message")
    for index, message in enumerate(chat.messages):
        if message.role not in _ROLES:
            yield FieldViolation(f"chat.messages[{index}].role", "is not a known role")
    if chat.HasField("choice_count") and not 1 <= chat.choice_count <= MAX_CHOICES:
        yield FieldViolation("chat.choice_count", f"must be from 1 to {MAX_CHOICES}")


def excess_violations(chat: ChatRequest, most: int) -> Iterator[FieldViolation]:
    """What is wrong with a conversation of more than so many messages, where it is one.

    Not counted is what a dialect has beside messages or within one, and the edge lets through: instructions that come
    first, what tools gave back, and what a user says right behind that.
    """
    roles = [message.role for message in chat.messages]
    counted = sum(
        role not in _TOOL_ROLES and not (role == Role.ROLE_USER and before in _TOOL_ROLES)
        for before, role in pairwise((Role.ROLE_UNSPECIFIED, *roles))
    )
    counted -= roles[0] in _INSTRUCTIONS
    if counted > most:
        yield FieldViolation("chat.messages", f"are {counted:,}; at most {most:,} are accepted")


def _request_violations(request_id: str, tags: Sequence[str]) -> Iterator[FieldViolation]:
    if len(request_id) > MAX_REQUEST_ID or not request_id.isprintable():
        yield FieldViolation("request_id", f"must be at most {MAX_REQUEST_ID} printable characters")
    yield from _tag_violations(tags)


def _tag_violations(tags: Sequence[str]) -> Iterator[FieldViolation]:
    if len(tags) > MAX_TAGS:
        yield FieldViolation("tags", f"must be at most {MAX_TAGS}, those of the caller's key included")
    for index, tag in enumerate(tags):
        if not tag or len(tag) > MAX_TAG or not tag.isprintable() or tag.startswith(":"):
            yield FieldViolation(f"tags[{index}]", f"must be `name` or `name:value`, of 1 to {MAX_TAG} characters")


def _preference_violations(preferences: Preferences) -> Iterator[FieldViolation]:
    models, session = preferences.models, preferences.session
    if len(models) > MAX_MODELS:
        yield FieldViolation("preferences.models", f"must be at most {MAX_MODELS}")
    for index, model in enumerate(models):
        if not _is_name(model):
            yield FieldViolation(
                f"preferences.models[{index}]", f"must be a name of 1 to {MAX_MODEL} printable characters"
            )
    if len(session) > MAX_SESSION or not session.isprintable():
        yield FieldViolation("preferences.session", f"must be at most {MAX_SESSION} printable characters")
    key = preferences.idempotency_key
    if key and (len(key) > MAX_IDEMPOTENCY_KEY or not (key.isascii() and key.isprintable())):
        wanted = f"must be 1 to {MAX_IDEMPOTENCY_KEY} printable ASCII characters"
        yield FieldViolation("preferences.idempotency_key", wanted)
    if preferences.cache and preferences.cache not in _CACHE_MODES:
        yield FieldViolation("preferences.cache", "is not a known mode")


def _is_name(model: str) -> bool:
    return 0 < len(model) <= MAX_MODEL and model.isprintable()
