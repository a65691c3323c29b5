"""How hard to think, how long, and what is shown of it.

Anthropic has a budget of tokens (`enabled`), for models before 4.7, an effort (`output_config.effort`) at which models
since 4.6 decide for themselves (`adaptive`), and neither (`disabled`). Other dialects have one scale for all of it,
which is put into whichever of them the model takes. In Anthropic's own dialect `reasoning_effort` is the effort alone,
and `adaptive` stands in the extra fields where the client said so.
"""

from __future__ import annotations

from services.providers.adapters.anthropic import models
from services.providers.adapters.anthropic.extra import Telling
from services.providers.domain.json_objects import Json
from tollway.chat.v1 import chat_pb2

_EFFORTS = {"minimal": "low"}
"""What other dialects call an effort that has another name here; this one has none below low."""
_BUDGETS = {"minimal": 1_024, "low": 2_048, "medium": 8_192, "high": 16_384, "xhigh": 24_576, "max": 30_720}
"""Tokens that an effort is worth to models that are given a budget."""
_LEAST_BUDGET = 1_024
_ADAPTIVE = {"type": "adaptive"}
_DISABLED = {"type": "disabled"}
_SHOWN = {"none": "omitted", "auto": "summarized", "concise": "summarized", "detailed": "summarized"}


def say_thinking(chat: chat_pb2.ChatRequest, model: str, body: Json, telling: Telling) -> None:
    """Fills in `thinking`, and the effort where there is one. `body` has its limit on tokens already."""
    thinking = _by_budget(chat, model, telling)
    effort = chat.reasoning_effort
    if effort and not telling.own:
        if thinking is None:
            thinking = _by_effort(effort, model, body, telling)
        effort = _EFFORTS.get(effort, effort) if effort != "none" and models.thinks_by_effort(model) else ""
    if effort:
        body.setdefault("output_config", {})["effort"] = effort
    if chat.reasoning_summary and thinking != _DISABLED:
        thinking = _shown(chat.reasoning_summary, thinking, model, telling)
    if thinking:
        body["thinking"] = thinking


def _by_budget(chat: chat_pb2.ChatRequest, model: str, telling: Telling) -> Json | None:
    if not chat.HasField("reasoning_budget_tokens"):
        return None
    budget = chat.reasoning_budget_tokens
    if budget == 0:
        return dict(_DISABLED)
    if telling.own or models.thinks_by_budget(model):
        return {"type": "enabled", "budget_tokens": budget}
    telling.unsaid.refuse(
        "chat.reasoning_budget_tokens", f"cannot be told to {model}, which thinks as long as its effort has it"
    )
    return dict(_ADAPTIVE)


def _by_effort(effort: str, model: str, body: Json, telling: Telling) -> Json | None:
    """Where a tool must be called no thinking may be asked for; the effort holds for all that is written."""
    if effort == "none":
        return dict(_DISABLED)
    forced = body.get("tool_choice", {}).get("type") in ("any", "tool")
    if models.thinks_by_effort(model):
        return None if forced else dict(_ADAPTIVE)
    if forced:
        telling.unsaid.refuse("chat.reasoning_effort", f"cannot be told to {model} beside a tool that must be called")
        return None
    most = body["max_tokens"]
    budget = min(_BUDGETS.get(effort, 0), most - 1)
    if budget >= _LEAST_BUDGET:
        return {"type": "enabled", "budget_tokens": budget}
    why = f"cannot be told to {model} with a limit of {most} tokens: it has no such effort, and thinks {_LEAST_BUDGET}"
    telling.unsaid.refuse("chat.reasoning_effort", why)
    return None


def _shown(wanted: str, thinking: Json | None, model: str, telling: Telling) -> Json | None:
    if telling.own:
        return {**(thinking or {}), "display": _SHOWN.get(wanted, wanted)}
    if wanted not in _SHOWN or (thinking is None and not models.thinks_by_effort(model)):
        telling.unsaid.leave_out("chat.reasoning_summary")
        return thinking
    return {**(thinking or _ADAPTIVE), "display": _SHOWN[wanted]}
