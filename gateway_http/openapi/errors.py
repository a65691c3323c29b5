"""How errors are told, in OpenAI's shape and in Anthropic's."""

from __future__ import annotations

from gateway_http.openapi.schema import OBJECT, TEXT, Json, an_object, array, const, one_of, or_null, said
from mesh.errors import BY_PROVIDERS_STATUS, TABLE

_TRACE: Json = {"type": "string", "pattern": "^[0-9a-f]{32}$"}
_BUDGET = an_object("budget", budget=TEXT, scope=TEXT, limit_usd=TEXT, spent_usd=TEXT, window_ends=TEXT)
_CODES = sorted({row.openai_code for row in TABLE.values() if row.openai_code})
_ANTHROPIC_TYPES = sorted(
    {row.anthropic_type for row in TABLE.values()} | {name.type for name in BY_PROVIDERS_STATUS.values()}
)

SCHEMAS: Json = {
    "Error": an_object(
        "error",
        error=an_object(
            "message type param code trace_id",
            message=said(TEXT, "For people."),
            type=one_of(*sorted({row.openai_type for row in TABLE.values()})),
            param=said(or_null(TEXT), "The path of the first field at fault: `messages[2].content`."),
            code=said(
                or_null(TEXT),
                f"For programs: one of {', '.join(_CODES)}; or the provider's own code where it rejected the question.",
            ),
            trace_id=_TRACE,
            candidates=said(array(TEXT), "Where nobody could be asked: of each, why not."),
            budget=said(_BUDGET, "Where a budget is used up: which."),
        ),
    ),
    "AnthropicError": an_object(
        "type error",
        type=const("error"),
        error=an_object(
            "type message",
            type=one_of(*_ANTHROPIC_TYPES),
            message=TEXT,
            details=said(OBJECT, "For programs: `error_code`, `param`, candidates, budgets."),
        ),
        request_id=TEXT,
        trace_id=_TRACE,
    ),
}
