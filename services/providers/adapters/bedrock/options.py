"""How tokens are drawn and how hard is thought, where Converse has a word for it or the model's maker has one.

What Converse itself does not know goes to the model as `additionalModelRequestFields`, under its maker's names:
Claude's (`thinking`, `top_k`), Nova's (`inferenceConfig.topK`, `reasoningConfig`), gpt-oss's (`reasoning_effort`).
"""

from __future__ import annotations

import re

from services.providers.domain.json_objects import Json
from services.providers.domain.unsaid import Unsaid
from tollway.chat.v1 import chat_pb2

_CLAUDE = re.compile(r"anthropic\.|\bclaude")
_CLAUDE_BY_BUDGET = re.compile(r"claude-(3|(opus|sonnet|haiku)-4(-[0-5])?-\d{8})")
"""Those that think when they are given a number of tokens; the later ones judge for themselves how much."""
_NOVA = re.compile(r"amazon\.nova")
_NOVA_THAT_THINKS = re.compile(r"amazon\.nova-[2-9]")
_GPT = re.compile(r"openai\.gpt")
_EFFORTS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "xhigh", "max": "max"}
_BUDGETS = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16384, "xhigh": 32768, "max": 32768}
_LEAST_BUDGET = 1024
_UNKNOWN_TO_CONVERSE = ("seed", "frequency_penalty", "presence_penalty", "logprobs", "top_logprobs")


def is_claude(model: str) -> bool:
    return _CLAUDE.search(model) is not None


def inference(sampling: chat_pb2.SamplingOptions, unsaid: Unsaid) -> Json:
    said: Json = {}
    if cap := sampling.max_output_tokens or sampling.max_tokens:
        said["maxTokens"] = cap
    if sampling.HasField("temperature"):
        said["temperature"] = sampling.temperature
    if sampling.HasField("top_p"):
        said["topP"] = sampling.top_p
    if sampling.stop:
        said["stopSequences"] = list(sampling.stop)
    for name in _UNKNOWN_TO_CONVERSE:
        # Zero and false say of these what happens anyway; of a seed, zero is one like any other.
        if getattr(sampling, name) or (name == "seed" and sampling.HasField("seed")):
            unsaid.refuse(f"chat.sampling.{name}", "has no place in Converse")
    if sampling.logit_bias:
        unsaid.refuse("chat.sampling.logit_bias", "has no place in Converse")
    return said


def additional_fields(chat: chat_pb2.ChatRequest, model: str, unsaid: Unsaid) -> Json:
    """What the model's maker has a name for, and Converse has not."""
    said: Json = {}
    if chat.sampling.HasField("top_k"):
        if is_claude(model):
            said["top_k"] = chat.sampling.top_k
        elif _NOVA.search(model):
            said["inferenceConfig"] = {"topK": chat.sampling.top_k}
        else:
            unsaid.refuse("chat.sampling.top_k", "is not known to be a parameter of this model on Bedrock")
    if chat.reasoning_summary:
        unsaid.leave_out("chat.reasoning_summary")
    return {**said, **_thinking(chat, model, unsaid)}


def effort(chat: chat_pb2.ChatRequest, model: str, unsaid: Unsaid) -> str:
    """Converse's own word for how hard to think. Empty: it is said otherwise, or not at all."""
    wanted = chat.reasoning_effort
    if not wanted or wanted == "none" or _by_budget(model) or _GPT.search(model) or _NOVA.search(model):
        return ""
    if wanted not in _EFFORTS:
        unsaid.refuse("chat.reasoning_effort", f"must be one of {', '.join(_EFFORTS)} here")
    return _EFFORTS.get(wanted, "")


def _thinking(chat: chat_pb2.ChatRequest, model: str, unsaid: Unsaid) -> Json:
    if is_claude(model):
        return _claude_thinking(chat, model, unsaid)
    if chat.reasoning_budget_tokens:
        unsaid.refuse("chat.reasoning_budget_tokens", "is known to Claude alone on Bedrock")
    wanted = chat.reasoning_effort
    if wanted == "none" or (chat.HasField("reasoning_budget_tokens") and not chat.reasoning_budget_tokens):
        return _not_thinking(model)
    if not wanted:
        return {}
    if _GPT.search(model):
        return {"reasoning_effort": wanted}
    if _NOVA.search(model):
        return {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": _EFFORTS.get(wanted, wanted)}}
    return {}


def _not_thinking(model: str) -> Json:
    """What keeps a model from thinking; nothing where it is not known to think, which others must not be told."""
    if _GPT.search(model):
        return {"reasoning_effort": "none"}
    return {"reasoningConfig": {"type": "disabled"}} if _NOVA_THAT_THINKS.search(model) else {}


def _claude_thinking(chat: chat_pb2.ChatRequest, model: str, unsaid: Unsaid) -> Json:
    if chat.HasField("reasoning_budget_tokens"):
        budget = chat.reasoning_budget_tokens
        if chat.reasoning_effort and _by_budget(model):
            unsaid.leave_out("chat.reasoning_effort")  # these know no other word for it than the budget
        return {"thinking": {"type": "enabled", "budget_tokens": budget} if budget else {"type": "disabled"}}
    if not chat.reasoning_effort:
        return {}
    if chat.reasoning_effort == "none":
        return {"thinking": {"type": "disabled"}}
    if not _by_budget(model):
        return {"thinking": {"type": "adaptive"}}
    budget = _BUDGETS.get(chat.reasoning_effort, 0)
    cap = chat.sampling.max_output_tokens or chat.sampling.max_tokens
    if cap:
        budget = min(budget, cap - 1)  # thinking counts towards the cap, and must leave room for an answer
    if budget < _LEAST_BUDGET:
        why = f"with a cap of {cap} tokens" if cap else "by that name"
        unsaid.refuse("chat.reasoning_effort", f"cannot be told to this model {why}")
        return {}
    return {"thinking": {"type": "enabled", "budget_tokens": budget}}


def _by_budget(model: str) -> bool:
    return _CLAUDE_BY_BUDGET.search(model) is not None
