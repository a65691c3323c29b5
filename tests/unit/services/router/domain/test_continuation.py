"""How a broken answer is gone on with: with whom, how, and with which question."""

from __future__ import annotations

import pytest

from mesh.errors import Reason, TollwayError
from services.router.domain.continuation import Broken, Way, as_one, may_prefill, prefilled, way_on
from services.router.domain.failures import TABLE, Midway
from services.router.domain.routes import Candidate, Deployment, Plan, Route, Routes
from services.router.domain.said import Said
from services.router.domain.schedule import Tried
from services.router.domain.verdict import Showed
from tests.unit.services.router.twins import chat, error
from tollway.chat.v1.chat_pb2 import (
    ChatRequest,
    ContentPart,
    Delta,
    Message,
    ReasoningPart,
    ResponseFormat,
    ResponseFormatKind,
    Role,
    SamplingOptions,
    ToolDefinition,
    Usage,
)
from tollway.ledger.v1.ledger_pb2 import Attempt, Provenance
from tollway.router.v1.router_pb2 import CONTINUATION_PREFILL as PREFILL
from tollway.router.v1.router_pb2 import CONTINUATION_SPLICE as SPLICE

CUT = error(Reason.UPSTREAM_CUT)
SILENT = error(Reason.UPSTREAM_SILENT)


def said(*deltas: Delta) -> Said:
    whole = Said()
    whole.add(deltas or [Delta(text="Once upon a time")])
    return whole


def plan(*deployments: Deployment) -> Plan:
    found = Routes([Route("gpt", deployments)]).plan("gpt")
    assert found is not None
    return found


def able(name: str) -> Deployment:
    return Deployment(name, "m", can=frozenset({"prefill"}))


def unable(name: str) -> Deployment:
    return Deployment(name, "m")


def way(
    plan: Plan,
    failure: TollwayError = CUT,
    tried: Tried | None = None,
    request: ChatRequest | None = None,
    so_far: Said | None = None,
    shut: str = "",
) -> Way | None:
    def wait(candidate: Candidate) -> float:
        return 9.0 if candidate.name == f"{shut}/m" else 0.0

    return way_on(plan, tried or Tried(), request or chat(), so_far or said(), failure, wait)


# -- with whom ---------------------------------------------------------------------------------------------------------


def test_the_same_deployment_goes_on_where_it_can() -> None:
    assert way(plan(able("a"), able("b"))) == Way(0, PREFILL)


def test_it_does_so_once() -> None:
    tried = Tried()
    tried.resume(0)
    assert way(plan(able("a"), able("b")), tried=tried) == Way(1, PREFILL)
    assert way(plan(able("a")), tried=tried) is None


def test_one_that_fell_silent_has_had_its_chance() -> None:
    assert way(plan(able("a"), able("b")), SILENT) == Way(1, PREFILL)
    assert way(plan(able("a")), SILENT) is None


def test_one_that_can_go_on_is_asked_before_one_that_has_to_say_it_all_again() -> None:
    assert way(plan(unable("a"), unable("b"), able("c"))) == Way(2, PREFILL)


def test_where_nobody_can_go_on_the_next_says_it_all_again_but_not_the_same() -> None:
    assert way(plan(unable("a"), unable("b"))) == Way(1, SPLICE)
    assert way(plan(unable("a"))) is None


def test_whoever_is_left_alone_or_has_had_a_turn_is_not_asked() -> None:
    assert way(plan(able("a"), able("b")), shut="a") == Way(1, PREFILL)
    assert way(plan(unable("a"), unable("b")), shut="b") is None
    tried = Tried(index=1, tries=1, spent=frozenset({0}))
    assert way(plan(unable("a"), unable("b"), unable("c")), tried=tried) == Way(2, SPLICE)


@pytest.mark.parametrize("reason", Reason)
def test_each_row_of_the_table_says_what_follows(reason: Reason) -> None:
    alone, two = way(plan(able("a")), error(reason)), way(plan(able("a"), able("b")), error(reason))
    match TABLE[reason].midway:
        case Midway.TELL:
            assert (alone, two) == (None, None)
        case Midway.CONTINUE:
            assert (alone, two) == (Way(0, PREFILL), Way(0, PREFILL))
        case Midway.CONTINUE_ELSEWHERE:
            assert (alone, two) == (None, Way(1, PREFILL))


def test_what_cannot_be_said_again_is_not_gone_on_with() -> None:
    assert way(plan(able("a"), able("b")), so_far=said(Delta(extra_json=b'{"audio":{}}'))) is None


# -- what can be gone on with ------------------------------------------------------------------------------------------


def test_plain_text_can_be_gone_on_with() -> None:
    assert may_prefill(chat(), said())
    plain = ResponseFormat(kind=ResponseFormatKind.RESPONSE_FORMAT_KIND_TEXT)
    assert may_prefill(ChatRequest(messages=chat().messages, response_format=plain, choice_count=1), said())
    assert may_prefill(chat(extra_json=b'{"safety_identifier": "x"}'), said())


@pytest.mark.parametrize(
    "so_far",
    [
        said(Delta(text="Once upon ")),
        said(Delta(text="Once\n")),
        said(Delta(text="Once"), Delta(reasoning=ReasoningPart(text="hm"))),
        said(Delta(refusal="No")),
        said(Delta(index=1, text="Once")),
    ],
)
def test_anything_else_that_was_said_cannot(so_far: Said) -> None:
    assert not may_prefill(chat(), so_far)


@pytest.mark.parametrize(
    "request_",
    [
        ChatRequest(tools=[ToolDefinition(name="f")]),
        ChatRequest(choice_count=2),
        ChatRequest(reasoning_effort="low"),
        ChatRequest(modalities=["text", "audio"]),
        ChatRequest(response_format=ResponseFormat(kind=ResponseFormatKind.RESPONSE_FORMAT_KIND_JSON_OBJECT)),
        ChatRequest(response_format=ResponseFormat(extra_json=b'{"type": "grammar"}')),
        ChatRequest(extra_json=b'{"functions": []}'),
        ChatRequest(extra_json=b'{"thinking": {"type": "enabled"}}'),
        ChatRequest(extra_json=b'{"enable_thinking": true}'),
        ChatRequest(extra_json=b'{"reasoning": {}}'),
        ChatRequest(extra_json=b'{"guided_regex": "x"}'),
    ],
)
def test_nor_where_more_is_in_play(request_: ChatRequest) -> None:
    assert not may_prefill(request_, said())


# -- with which question -----------------------------------------------------------------------------------------------


def test_what_was_said_is_the_last_message() -> None:
    asked = chat()
    question = prefilled(asked, said())
    assert question.messages[:-1] == asked.messages[:]
    last = question.messages[-1]
    assert (last.role, last.content[0].text) == (Role.ROLE_ASSISTANT, "Once upon a time")
    assert len(asked.messages) == 1


def test_where_the_client_began_the_answer_it_is_the_same_message() -> None:
    asked = chat()
    asked.messages.append(Message(role=Role.ROLE_ASSISTANT, content=[ContentPart(text="Well. ")]))
    (_, last) = prefilled(asked, said()).messages
    assert last.content[0].text == "Well. Once upon a time"


def test_so_much_less_is_left_to_be_said() -> None:
    asked = chat()
    asked.sampling.CopyFrom(SamplingOptions(max_output_tokens=10, max_tokens=3, temperature=0.5))
    assert prefilled(asked, said()).sampling == SamplingOptions(max_output_tokens=6, max_tokens=1, temperature=0.5)


# -- what it took ------------------------------------------------------------------------------------------------------


REPORTED, COUNTED = Provenance.PROVENANCE_PROVIDER_REPORTED, Provenance.PROVENANCE_STREAM_COUNTED
FIRST = Attempt(usage=Usage(input_tokens=10, cached_input_tokens=4, output_tokens=5), provenance=REPORTED)
ESTIMATED = Attempt(usage=Usage(input_tokens=7, output_tokens=5), provenance=COUNTED)
LAST = Attempt(
    usage=Usage(input_tokens=17, cached_input_tokens=16, output_tokens=7, reasoning_tokens=1), provenance=REPORTED
)


def test_the_question_counts_once_and_what_was_said_counts_in_all() -> None:
    assert as_one([FIRST, LAST]) == Usage(input_tokens=10, cached_input_tokens=4, output_tokens=12, reasoning_tokens=1)


def test_a_question_that_only_the_last_provider_counted_is_what_it_counted_less_what_had_been_said() -> None:
    assert as_one([ESTIMATED, LAST]) == Usage(
        input_tokens=12, cached_input_tokens=12, output_tokens=12, reasoning_tokens=1
    )
    assert as_one([ESTIMATED, ESTIMATED]) == Usage(input_tokens=7, output_tokens=10)


def test_an_answer_that_said_everything_again_took_what_it_took() -> None:
    candidate = plan(unable("a")).candidates[0]
    broken = Broken(said(), Showed(candidate, CUT))
    broken.add(None, FIRST)
    assert broken.usage_with(SPLICE, LAST) == LAST.usage
    assert broken.usage_with(PREFILL, LAST).output_tokens == 12
    broken.add(PREFILL, LAST)
    assert (broken.ways, broken.usage_with(PREFILL, LAST).output_tokens) == ([PREFILL], 19)
