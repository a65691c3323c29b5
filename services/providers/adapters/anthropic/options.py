"""How an answer is drawn, how long it may be, and for whom it is, in Anthropic's JSON."""

from __future__ import annotations

from services.providers.adapters.anthropic import models
from services.providers.adapters.anthropic.extra import Telling
from services.providers.domain.json_objects import Json
from tollway.chat.v1 import chat_pb2

_DRAWING = ("temperature", "top_p", "top_k")
_WITHOUT_PLACE = {
    "seed": None,
    "frequency_penalty": 0.0,
    "presence_penalty": 0.0,
    "logprobs": False,
    "top_logprobs": 0,
    "logit_bias": None,
}
"""What Anthropic's API cannot be told, and the value that says what is done anyway."""
_TIERS = {"auto": "auto", "default": "standard_only", "standard_only": "standard_only"}
"""OpenAI's `default` is to have no capacity set apart, which is Anthropic's `standard_only`."""


def limit(chat: chat_pb2.ChatRequest, model: str) -> int:
    """The most tokens the answer may have: the client's limit, under whichever name, or else the model's own."""
    sampling = chat.sampling
    limits = [getattr(sampling, name) for name in ("max_output_tokens", "max_tokens") if sampling.HasField(name)]
    return min(limits) if limits else models.longest_answer(model)


def say_options(chat: chat_pb2.ChatRequest, model: str, body: Json, telling: Telling) -> None:
    """Everything that is neither said in the conversation nor about tools, thinking or the answer's shape."""
    if chat.HasField("sampling"):
        _say_sampling(chat.sampling, model, body, telling)
    if chat.choice_count > 1:
        telling.unsaid.refuse("chat.choice_count", "cannot be told to Anthropic's API, which gives one answer")
    if any(kind != "text" for kind in chat.modalities):
        telling.unsaid.refuse("chat.modalities", "cannot be told to Anthropic's API, whose models answer in text")
    if chat.service_tier:
        _say_tier(chat.service_tier, body, telling)
    user = chat.user or chat.metadata.get("user_id", "")
    if user:
        body["metadata"] = {"user_id": user}
    if any(name != "user_id" for name in chat.metadata):
        telling.unsaid.leave_out("chat.metadata")


def _say_tier(tier: str, body: Json, telling: Telling) -> None:
    if telling.own or tier in _TIERS:
        body["service_tier"] = _TIERS.get(tier, tier)
    else:
        telling.unsaid.leave_out("chat.service_tier")


def _say_sampling(sampling: chat_pb2.SamplingOptions, model: str, body: Json, telling: Telling) -> None:
    for field, value in sampling.ListFields():
        name = field.name
        if name in _DRAWING and _may_be_drawn(name, value, model, telling):
            body[name] = value
        elif name in _WITHOUT_PLACE and value != _WITHOUT_PLACE[name]:
            telling.unsaid.refuse(f"chat.sampling.{name}", "has no place in Anthropic's API")
    if not telling.own and {"temperature", "top_p"} <= body.keys() and not models.draws_by_both(model):
        telling.unsaid.refuse("chat.sampling.top_p", f"cannot be told to {model} beside a temperature")
        del body["top_p"]
    if stop := _stops(sampling, telling):
        body["stop_sequences"] = stop


def _stops(sampling: chat_pb2.SamplingOptions, telling: Telling) -> list[str]:
    stop = []
    for i, sequence in enumerate(sampling.stop):
        if telling.own or sequence.strip():
            stop.append(sequence)
        else:
            why = "is white space alone, at which Anthropic's API does not stop"
            telling.unsaid.refuse(f"chat.sampling.stop[{i}]", why)
    return stop


def _may_be_drawn(name: str, value: float, model: str, telling: Telling) -> bool:
    """Whether the model can be told to draw like that.

    Temperatures go up to 1 here, and to 2 elsewhere: one above is refused rather than lowered behind the client's back.
    Left out at the client's wish, it is 1, the nearest there is. In Anthropic's own dialect all is the provider's to
    say.
    """
    if telling.own:
        return True
    path = f"chat.sampling.{name}"
    if name != "top_k" and value == 1.0:  # what is done anyway
        return False
    if not models.draws_freely(model):
        telling.unsaid.refuse(path, f"cannot be told to {model}, which draws tokens as it does")
        return False
    if name == "temperature" and value > 1.0:
        telling.unsaid.refuse(path, "is above 1, the highest that Anthropic's API takes")
        return False
    return True
