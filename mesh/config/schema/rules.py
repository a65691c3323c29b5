"""Conditions on questions, and what follows from them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from mesh.config.schema.section import Section, check_not_empty
from mesh.config.values import Days, TimeOfDay, Zone


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value  # a single name needs no brackets


Names = Annotated[tuple[str, ...], BeforeValidator(_listed), AfterValidator(check_not_empty)]
"""A list of names or patterns, or a single one."""

Need = Literal["tools", "vision", "json_schema", "audio", "files", "reasoning"]


class RuleTokens(Section):
    """Estimated tokens of a prompt."""

    over: int | None = Field(None, ge=0)
    under: int | None = Field(None, ge=1)

    @model_validator(mode="after")
    def _check_span(self) -> RuleTokens:
        if self.over is None and self.under is None:
            raise ValueError("must have over or under")
        if self.over is not None and self.under is not None and self.under - self.over < 2:
            raise ValueError("must leave a number between over and under")
        return self


class RuleTime(Section):
    """Hours of the day, in a time zone."""

    days: Days | None = Field(None, description="Absent: every day.")
    from_: TimeOfDay = Field(0, alias="from", description="Minutes since midnight.")
    to: TimeOfDay = Field(24 * 60, description="Minutes since midnight; not included.")
    zone: Zone = Field("UTC", description="As in Europe/Zurich.")


class RuleCondition(Section):
    """All that must hold. A list holds where one entry does, `tags` and `needs` where all do."""

    model: Names | None = None
    key: Names | None = None
    project: Names | None = None
    tenant: Names | None = None
    tags: Names | None = None
    tokens: RuleTokens | None = None
    needs: Annotated[tuple[Need, ...], BeforeValidator(_listed), AfterValidator(check_not_empty)] | None = None
    time: RuleTime | None = None


class RuleParameters(Section):
    """What a rule sets in a question, whatever the client said."""

    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    top_k: int | None = Field(None, ge=1, lt=2**31)
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    stop: Annotated[tuple[str, ...], BeforeValidator(_listed)] | None = None
    max_tokens: int | None = Field(None, ge=1, lt=2**63)
    reasoning_effort: str | None = Field(None, min_length=1)
    service_tier: str | None = Field(None, min_length=1)
    parallel_tool_calls: bool | None = None

    @model_validator(mode="after")
    def check_not_empty(self) -> RuleParameters:
        if not self.model_fields_set:
            raise ValueError("must set at least one parameter")
        return self


class RuleAction(Section):
    """What is done. `deny` stands alone; the others go together."""

    choose: Names | None = None
    exclude: Names | None = None
    rewrite: str | None = Field(None, min_length=1)
    set: RuleParameters | None = None
    deny: str | None = Field(None, min_length=1, description="The reason that the client is told.")

    @model_validator(mode="after")
    def _check_actions(self) -> RuleAction:
        given = [name for name in type(self).model_fields if name in self.model_fields_set]
        if not given:
            raise ValueError("must say what to do: choose, exclude, rewrite, set or deny")
        if self.deny is not None and len(given) > 1:
            raise ValueError("cannot deny and do something else")
        out = self.exclude or ()
        if self.choose and all(name in out or name.partition("/")[0] in out for name in self.choose):
            raise ValueError("excludes all that it chooses; to refuse, say deny")
        return self


class Rule(Section):
    """Under which conditions a question is sent elsewhere, changed, or refused."""

    name: str = Field(min_length=1)
    when: RuleCondition = RuleCondition()
    then: RuleAction
