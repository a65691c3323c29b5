"""A chat operation in the words of OpenTelemetry's GenAI conventions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from mesh.tracing import AttributeValue
from services.router.domain.principal import Principal
from services.router.domain.rules import Outcome
from tollway.chat.v1.chat_pb2 import ChatRequest, FinishReason, Usage

_PROVIDERS = {
    "anthropic": "anthropic",
    "azure": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "cohere": "cohere",
    "deepseek": "deepseek",
    "gemini": "gcp.gemini",
    "groq": "groq",
    "mistral": "mistral_ai",
    "openai": "openai",
    "openrouter": "openrouter",
    "perplexity": "perplexity",
    "vertex": "gcp.vertex_ai",
    "xai": "x_ai",
}
_FINISHES = {
    FinishReason.FINISH_REASON_STOP: "stop",
    FinishReason.FINISH_REASON_LENGTH: "length",
    FinishReason.FINISH_REASON_TOOL_CALLS: "tool_calls",
    FinishReason.FINISH_REASON_CONTENT_FILTER: "content_filter",
    FinishReason.FINISH_REASON_FUNCTION_CALL: "function_call",
    FinishReason.FINISH_REASON_OTHER: "other",
}


def provider_name(name: str, dialect: str) -> str:
    """`gen_ai.provider.name` of a configured provider: a well-known one by its name, any other by what it speaks."""
    return _PROVIDERS.get(name, dialect)


def finish_reason(reason: FinishReason.ValueType) -> str:
    """The reason in OpenAI's word, empty for none."""
    return _FINISHES.get(reason, "")


def request_attributes(chat: ChatRequest, provider: str, *, streamed: bool) -> dict[str, AttributeValue]:
    """What was asked; parameters that were not set are left out."""
    attributes: dict[str, AttributeValue] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": provider,
        "gen_ai.request.model": chat.model,
        "gen_ai.request.stream": streamed,
    }
    if chat.choice_count > 1:
        attributes["gen_ai.request.choice.count"] = chat.choice_count
    if chat.reasoning_effort:
        attributes["gen_ai.request.reasoning.level"] = chat.reasoning_effort
    sampling = chat.sampling
    names = ("temperature", "top_p", "top_k", "seed", "frequency_penalty", "presence_penalty")
    for name in names:
        if sampling.HasField(name):  # type: ignore[arg-type]  # every one of them is an optional field
            key = "gen_ai.request.seed" if name == "seed" else f"gen_ai.request.{name}"
            attributes[key] = getattr(sampling, name)
    if sampling.max_output_tokens or sampling.max_tokens:
        attributes["gen_ai.request.max_tokens"] = sampling.max_output_tokens or sampling.max_tokens
    if sampling.stop:
        attributes["gen_ai.request.stop_sequences"] = tuple(sampling.stop)
    return attributes


def operation_attributes(operation: str, provider: str, model: str) -> dict[str, AttributeValue]:
    """What was asked that is no conversation."""
    return {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": provider,
        "gen_ai.request.model": model,
    }


def response_attributes(
    response_id: str, model: str, finishes: Iterable[FinishReason.ValueType]
) -> dict[str, AttributeValue]:
    """What was answered; what the provider did not say is left out."""
    attributes: dict[str, AttributeValue] = {"gen_ai.response.model": model} if model else {}
    if response_id:
        attributes["gen_ai.response.id"] = response_id
    if reasons := tuple(finish_reason(reason) for reason in finishes):
        attributes["gen_ai.response.finish_reasons"] = reasons
    return attributes


def usage_attributes(usage: Usage) -> Mapping[str, AttributeValue]:
    """What it took."""
    return {
        "gen_ai.usage.input_tokens": usage.input_tokens,
        "gen_ai.usage.output_tokens": usage.output_tokens,
        "gen_ai.usage.cache_read.input_tokens": usage.cached_input_tokens,
        "gen_ai.usage.cache_write.input_tokens": usage.cache_write_tokens,
        "gen_ai.usage.reasoning.output_tokens": usage.reasoning_tokens,
    }


def ruled_attributes(outcomes: Sequence[Outcome]) -> dict[str, AttributeValue]:
    """Which rules matched, and which of those could not do what they say."""
    matched = tuple(outcome.rule for outcome in outcomes if outcome.matched)
    failed = tuple(outcome.rule for outcome in outcomes if outcome.error)
    return {"tollway.rules.matched": matched, **({"tollway.rules.failed": failed} if failed else {})}


def account_attributes(principal: Principal) -> dict[str, AttributeValue]:
    """On whose account it is."""
    return {
        "tollway.tenant": principal.tenant,
        "tollway.project": principal.project,
        "tollway.key": principal.key,
    }
