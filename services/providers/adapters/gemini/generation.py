"""How the answer is made, as Gemini's `generationConfig`."""

from __future__ import annotations

import re

from mesh.errors import invalid
from services.providers.adapters.gemini.telling import Telling
from services.providers.domain.json_objects import Json, json_object, merge
from tollway.chat.v1 import chat_pb2

_SAMPLING = {
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "seed": "seed",
    "frequency_penalty": "frequencyPenalty",
    "presence_penalty": "presencePenalty",
    "max_tokens": "maxOutputTokens",
    "max_output_tokens": "maxOutputTokens",
    "logprobs": "responseLogprobs",
}
_BY_BUDGET = re.compile(r"gemini-2\.")
"""Models that are told how hard to think in tokens, and know no levels."""
_THINKS_NOT = re.compile(r"gemini-(1\.|2\.0)|gemma-[123]|learnlm")
"""Models that have no word for thinking, not even that there is to be none."""
_BUDGETS = {"minimal": 1024, "low": 1024, "medium": 8192, "high": 24576}
"""What Google's own OpenAI-compatible endpoint makes of an effort for those models."""


def put_generation(chat: chat_pb2.ChatRequest, model: str, body: Json, telling: Telling) -> None:
    """Puts into the body how the answer is to be made; nothing where nothing was said of it."""
    config: Json = {}
    _sampling(chat.sampling, config, telling)
    if chat.HasField("choice_count"):
        config["candidateCount"] = chat.choice_count
    if chat.modalities:
        config["responseModalities"] = [modality.upper() for modality in chat.modalities]
    if chat.HasField("response_format"):
        _format(chat.response_format, config, telling)
    if thinking := _thinking(chat, model, telling):
        config["thinkingConfig"] = thinking
    if config:
        body["generationConfig"] = config


def _sampling(sampling: chat_pb2.SamplingOptions, config: Json, telling: Telling) -> None:
    for descriptor, value in sampling.ListFields():
        if name := _SAMPLING.get(descriptor.name):
            config[name] = value
    if sampling.HasField("max_output_tokens"):  # of two caps, the one under the newer name counts
        config["maxOutputTokens"] = sampling.max_output_tokens
    if sampling.top_logprobs:
        config["logprobs"] = sampling.top_logprobs
    if sampling.stop:
        config["stopSequences"] = list(sampling.stop)
    if sampling.logit_bias:
        telling.unsaid.refuse("chat.sampling.logit_bias", "has no place in Gemini's API")


def _format(wanted: chat_pb2.ResponseFormat, config: Json, telling: Telling) -> None:
    """Decoding is held to a schema whenever there is one, and so `strict` need not be said."""
    path = "chat.response_format"
    if wanted.kind in (chat_pb2.RESPONSE_FORMAT_KIND_JSON_OBJECT, chat_pb2.RESPONSE_FORMAT_KIND_JSON_SCHEMA):
        config["responseMimeType"] = "application/json"
    elif wanted.kind != chat_pb2.RESPONSE_FORMAT_KIND_TEXT:
        if not wanted.extra_json:
            raise invalid(f"{path}.kind", "is missing")
        if not telling.own:
            telling.unsaid.refuse(path, "is of a kind that has no place in Gemini's API")
            return
    if wanted.schema_json:
        config["responseJsonSchema"] = _schema(wanted, path)
    if wanted.name:
        telling.unsaid.leave_out(f"{path}.name")
    if wanted.extra_json:
        merge(config, telling.extra(wanted.extra_json, path))


def _schema(wanted: chat_pb2.ResponseFormat, path: str) -> Json:
    schema = json_object(wanted.schema_json, f"{path}.schema_json")
    if wanted.description and "$ref" not in schema:
        schema.setdefault("description", wanted.description)
    return schema


def _thinking(chat: chat_pb2.ChatRequest, model: str, telling: Telling) -> Json:
    """Gemini takes a level or a budget, never both: of the two, the budget says more."""
    config: Json = {}
    if _wants_none(chat) and _THINKS_NOT.search(model):
        return config
    if chat.HasField("reasoning_budget_tokens"):
        config["thinkingBudget"] = chat.reasoning_budget_tokens
        if chat.reasoning_effort:
            telling.unsaid.leave_out("chat.reasoning_effort")
    elif chat.reasoning_effort == "none":
        config["thinkingBudget"] = 0
    elif chat.reasoning_effort in _BUDGETS:
        by_budget = _BY_BUDGET.search(model)
        config = (
            {"thinkingBudget": _BUDGETS[chat.reasoning_effort]}
            if by_budget
            else {"thinkingLevel": chat.reasoning_effort.upper()}
        )
    elif chat.reasoning_effort:
        telling.unsaid.refuse("chat.reasoning_effort", f"is none of Gemini's levels ({', '.join(_BUDGETS)}, none)")
    if chat.reasoning_summary:
        config["includeThoughts"] = chat.reasoning_summary != "none"
        if chat.reasoning_summary not in ("auto", "none"):
            telling.unsaid.leave_out("chat.reasoning_summary")
    return config


def _wants_none(chat: chat_pb2.ChatRequest) -> bool:
    if chat.HasField("reasoning_budget_tokens"):
        return not chat.reasoning_budget_tokens
    return chat.reasoning_effort == "none"
