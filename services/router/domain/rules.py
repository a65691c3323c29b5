"""Rules: under which conditions a question is sent elsewhere, changed, or refused.

They are looked at in the order of the configuration, and each sees what those before it made of the question. All
conditions of a rule must hold. What a rule says about candidates holds for everybody the question might be sent to,
fallbacks included, so it is carried out when they are known (`Filter`).

Whether a rule matched and whether its action could be carried out are two things. One that matched and leaves nobody
has failed, and the question is refused: sending it to whom the rule was to keep it from would be worse.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from mesh.config.patterns import matches
from services.router.domain.hours import Hours
from services.router.domain.needs import Needs
from services.router.domain.principal import Principal
from tollway.chat.v1.chat_pb2 import ChatRequest

Parameter = str | int | float | bool | tuple[str, ...]

_OF_REQUEST = frozenset({"reasoning_effort", "service_tier", "parallel_tool_calls"})


@dataclass(frozen=True, slots=True)
class Condition:
    """Empty and None: not asked. Of a list, one entry must hold; of `tags` and `needs`, all.

    Names may be patterns that end in `*`. `over` and `under` are estimated tokens of the prompt.
    """

    model: tuple[str, ...] = ()
    key: tuple[str, ...] = ()
    project: tuple[str, ...] = ()
    tenant: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    over: int | None = None
    under: int | None = None
    needs: tuple[str, ...] = ()
    hours: Hours | None = None


@dataclass(frozen=True, slots=True)
class Action:
    """What is done. `choose` and `exclude` hold providers and `provider/model` patterns; `deny` is the reason told."""

    choose: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    rewrite: str = ""
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    deny: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """`when` all of this holds, `then` that is done."""

    name: str
    when: Condition
    then: Action


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, as rules see it. `names` are the models asked for, in order."""

    chat: ChatRequest
    names: tuple[str, ...]
    tags: Sequence[str]
    principal: Principal
    unix: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a rule. `effect` is what it did, `error` what went wrong with that; both in a few words."""

    rule: str
    matched: bool
    effect: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class Filter:
    """Whom a rule keeps, or keeps out."""

    rule: str
    keeps: bool
    patterns: tuple[str, ...]

    def lets(self, deployment: str) -> bool:
        """Whether the deployment, by its name (`provider/model`), may be asked."""
        provider = deployment.partition("/")[0]
        return self.keeps == any(pattern == provider or matches(pattern, deployment) for pattern in self.patterns)

    @property
    def effect(self) -> str:
        return f"{'chooses' if self.keeps else 'excludes'} {', '.join(self.patterns)}"


@dataclass(frozen=True, slots=True)
class Ruling:
    """What the rules made of a question. `chat` is the question's own where nothing was changed in it.

    `outcomes` are in the order of the rules; those after one that denies are not looked at.
    """

    chat: ChatRequest
    names: tuple[str, ...]
    needs: Needs
    filters: tuple[Filter, ...]
    outcomes: tuple[Outcome, ...]
    denied_by: str = ""
    denial: str = ""


def rule_on(rules: Iterable[Rule], asked: Asked) -> Ruling:
    """Looks at the rules one after the other. The question's message is never changed, only copied."""
    ruling = Ruling(asked.chat, asked.names, Needs(asked.chat), (), ())
    for rule in rules:
        if not _holds(rule.when, asked, ruling):
            ruling = replace(ruling, outcomes=(*ruling.outcomes, Outcome(rule.name, matched=False)))
        elif rule.then.deny:
            outcome = Outcome(rule.name, True, f"denies: {rule.then.deny}")
            outcomes = (*ruling.outcomes, outcome)
            return replace(ruling, outcomes=outcomes, denied_by=rule.name, denial=rule.then.deny)
        else:
            ruling = _carry_out(rule, asked, ruling)
    return ruling


def failed(outcomes: Sequence[Outcome], rule: str, error: str) -> tuple[Outcome, ...]:
    """The same outcomes, but that the rule's action turned out not to be possible."""
    return tuple(replace(each, error=error) if each.rule == rule else each for each in outcomes)


def _holds(when: Condition, asked: Asked, ruling: Ruling) -> bool:
    who, needs = asked.principal, ruling.needs
    return (
        (not when.model or any(_is_one_of(name, when.model) for name in ruling.names))
        and (not when.key or _is_one_of(who.key, when.key))
        and (not when.project or _is_one_of(who.project, when.project))
        and (not when.tenant or _is_one_of(who.tenant, when.tenant))
        and all(_has_tag(tag, asked) for tag in when.tags)
        and (when.over is None or needs.input_tokens > when.over)
        and (when.under is None or needs.input_tokens < when.under)
        and all(feature in needs.features for feature in when.needs)
        and (when.hours is None or when.hours.include(asked.unix))
    )


def _is_one_of(name: str, patterns: tuple[str, ...]) -> bool:
    return any(matches(pattern, name) for pattern in patterns)


def _has_tag(wanted: str, asked: Asked) -> bool:
    return any(matches(wanted, tag) for tag in (*asked.tags, *asked.principal.tags))


def _carry_out(rule: Rule, asked: Asked, ruling: Ruling) -> Ruling:
    then, effects = rule.then, []
    chat, names, filters = ruling.chat, ruling.names, list(ruling.filters)
    for keeps, patterns in ((True, then.choose), (False, then.exclude)):
        if patterns:
            filters.append(Filter(rule.name, keeps, patterns))
            effects.append(filters[-1].effect)
    if then.rewrite:
        names = _rewritten(names, rule.when.model, then.rewrite)
        effects.append(f"rewrites {', '.join(ruling.names)} to {', '.join(names)}")
    if then.parameters or names[0] != chat.model:
        chat = _copy_of(chat)
        chat.model = names[0]
        _set(chat, then.parameters)
    if then.parameters:
        effects.append("sets " + ", ".join(f"{name} to {_shown(value)}" for name, value in then.parameters.items()))
    return replace(
        ruling,
        chat=chat,
        names=names,
        needs=ruling.needs if chat is ruling.chat else Needs(chat),
        filters=tuple(filters),
        outcomes=(*ruling.outcomes, Outcome(rule.name, True, "; ".join(effects))),
    )


def _rewritten(names: tuple[str, ...], covered: tuple[str, ...], to: str) -> tuple[str, ...]:
    """The names with every one that the rule covers replaced, without repeats: none of them is a way around it."""
    return tuple(dict.fromkeys(to if not covered or _is_one_of(name, covered) else name for name in names))


def _copy_of(chat: ChatRequest) -> ChatRequest:
    copy = ChatRequest()
    copy.CopyFrom(chat)
    return copy


def _set(chat: ChatRequest, parameters: Mapping[str, Parameter]) -> None:
    sampling = chat.sampling
    for name, value in parameters.items():
        if name in _OF_REQUEST:
            setattr(chat, name, value)
        elif name == "stop":
            assert isinstance(value, tuple)
            sampling.ClearField("stop")
            sampling.stop.extend(value)
        elif name == "max_tokens":
            # Not every server knows both names of the cap, so it goes under the one that the client used.
            cap = "max_tokens" if sampling.HasField("max_tokens") else "max_output_tokens"
            sampling.ClearField("max_tokens")
            sampling.ClearField("max_output_tokens")
            setattr(sampling, cap, value)
        else:
            setattr(sampling, name, value)


def _shown(value: Parameter) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(repr, value)) or "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else str(value)
