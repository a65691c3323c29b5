from __future__ import annotations

import json
from typing import Any

import pytest

from mesh.config.schema import SimOptions
from services.providers.adapters.sim.behaviour import behaviour
from services.providers.adapters.sim.question import BadQuestion, Question, read_question
from services.providers.adapters.sim.reply import Reply, replies

USER = {"role": "user", "content": "What is the weather in Oslo?"}
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
TIME = {"type": "function", "function": {"name": "time"}}
RESULT = {"role": "tool", "tool_call_id": "1", "content": "7 degrees"}


def asked(**fields: Any) -> Question:
    return read_question(json.dumps({"model": "sim", "messages": [USER], **fields}).encode())


def reply(**fields: Any) -> Reply:
    question = asked(**fields)
    return replies(question, behaviour(question.model, SimOptions()))[0]


def test_the_same_question_gets_the_same_answer_streamed_or_not() -> None:
    once = reply().text("content")
    assert once == reply(stream=True, stream_options={"include_usage": True}).text("content")
    assert once != reply(seed=5).text("content")


def test_every_choice_is_an_answer_of_its_own() -> None:
    question = asked(n=3)
    texts = {each.text("content") for each in replies(question, behaviour("sim", SimOptions()))}
    assert len(texts) == 3


def test_echo_says_the_last_user_message_in_all_its_parts() -> None:
    parts = [{"type": "text", "text": "One "}, {"type": "image_url"}, {"type": "text", "text": "two"}]
    messages = [USER, {"role": "assistant", "content": "x"}, {"role": "user", "content": parts}]
    assert reply(model="echo", messages=messages).text("content") == "One two"
    assert reply(model="echo", messages=[{"role": "system", "content": "x"}]).text("content") == ""


def test_a_tool_that_is_offered_is_called_with_arguments_of_its_schema() -> None:
    made = reply(tools=[TOOL])
    assert made.finish == "tool_calls"
    assert [call.name for call in made.calls] == ["weather"]
    assert json.loads(made.text("arguments")).keys() == {"city"}
    assert not made.has("content")


def test_several_tools_are_called_at_once_where_the_name_says_so() -> None:
    made = reply(model="text:calls=3", tools=[TOOL, TIME])
    assert [call.name for call in made.calls] == ["weather", "time", "weather"]
    assert len({call.id for call in made.calls}) == 3
    assert json.loads(made.text("arguments", 1)) == {}


@pytest.mark.parametrize(
    ("choice", "called"),
    [
        ("auto", ["weather"]),
        ("required", ["weather"]),
        ("none", []),
        ({"type": "function", "function": {"name": "time"}}, ["time"]),
    ],
)
def test_the_tool_choice_is_followed(choice: Any, called: list[str]) -> None:
    assert [call.name for call in reply(tools=[TOOL, TIME], tool_choice=choice).calls] == called


def test_a_tool_s_result_is_answered_in_text() -> None:
    made = reply(tools=[TOOL], messages=[USER, {"role": "assistant", "tool_calls": []}, RESULT, RESULT])
    assert made.finish == "stop"
    assert made.text("content") == "The tools answered: 7 degrees 7 degrees"


def test_a_new_question_after_a_tool_s_result_calls_a_tool_again() -> None:
    assert reply(tools=[TOOL], messages=[USER, RESULT, USER]).calls


def test_a_schema_gets_json_of_its_shape() -> None:
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}
    made = reply(response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": schema}})
    assert isinstance(json.loads(made.text("content"))["ok"], bool)
    assert isinstance(json.loads(reply(response_format={"type": "json_object"}).text("content")), dict)


def test_an_answer_that_is_capped_ends_for_its_length() -> None:
    whole = reply()
    capped = reply(max_tokens=3, seed=None)
    assert (len(capped.tokens), capped.finish) == (3, "length")
    assert (len(whole.tokens), whole.finish) == (20, "stop")
    assert len(reply(max_tokens=9, max_completion_tokens=4).tokens) == 4
    assert reply(max_tokens=500).finish == "stop"


def test_a_cap_counts_thinking_too() -> None:
    made = reply(model="reasoning", max_completion_tokens=12)
    assert made.reasoning_tokens == 10
    assert len(made.tokens) == 12


def test_a_call_that_the_cap_left_no_token_for_is_not_made() -> None:
    made = reply(model="text:calls=5", tools=[TOOL], max_tokens=4)
    assert len(made.calls) == 1
    assert made.finish == "length"


def test_a_stop_sequence_ends_the_answer_before_itself() -> None:
    messages = [{"role": "user", "content": "one two three four"}]
    assert reply(model="echo", messages=messages, stop="three").text("content") == "one two "
    assert reply(model="echo", messages=messages, stop=["x", "four", "two"]).text("content") == "one "


@pytest.mark.parametrize("choices", [1, 3])
def test_choices_have_a_hundred_thousand_tokens_in_all_and_end_for_their_length_where_there_would_be_more(
    choices: int,
) -> None:
    said = {"role": "user", "content": "a b " * 200_000}
    for fields in ({"model": "echo", "messages": [said]}, {"model": "text:tokens=100000", "seed": 5}):
        question = asked(n=choices, **fields)
        made = replies(question, behaviour(question.model, SimOptions()))
        assert {len(each.tokens) for each in made} == {100_000 // choices}
        assert (made[0].finish == "length") is (choices > 1 or question.model == "echo")


def test_a_refusal_is_no_content() -> None:
    made = reply(model="refusal")
    assert made.has("refusal")
    assert not made.has("content")


def test_the_finish_reason_can_be_chosen_by_name() -> None:
    assert reply(model="text:finish=content_filter").finish == "content_filter"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": ["Hi"]}, "messages"),
        ({"messages": None}, "messages"),
        ({"model": 5}, "model"),
        ({"n": "two"}, "n"),
        ({"n": 129}, "n"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"tools": {}}, "tools"),
        ({"tools": [{"type": "custom"}]}, "tools"),
        ({"tools": [TOOL], "tool_choice": {"function": {"name": "other"}}}, "tools"),
        ({"tools": [{"function": {"name": "f", "parameters": {"type": "colour"}}}]}, "tools[0]"),
        ({"response_format": {"type": "json_schema", "json_schema": {"schema": False}}}, "response_format"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": {"minLength": 10**9}}}},
            "response_format",
        ),
    ],
)
def test_a_question_that_makes_no_sense_is_told_so(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(BadQuestion) as caught:
        reply(**fields)
    assert caught.value.param == param


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"\xff", b'{"messages":[' + b'{"a":' * 400 + b"1" + b"}" * 400 + b"]}"]
)
def test_a_body_that_is_no_object_is_told_so(body: bytes) -> None:
    with pytest.raises(BadQuestion):
        read_question(body)


def test_tokens_are_counted_by_one_rule_for_questions_and_answers() -> None:
    question = asked(messages=[{"role": "user", "content": "Hello, world"}, {"role": "user", "content": ""}])
    assert question.tokens == 3 + 3 + 3
    assert question.cached_tokens == 0


def test_what_came_before_the_last_answer_counts_as_cached_in_blocks() -> None:
    long = {"role": "user", "content": "word " * 40}
    question = asked(messages=[long, {"role": "assistant", "content": "Yes."}, USER])
    assert question.cached_tokens == 48
    assert question.cached_tokens < question.tokens


# -- going on ----------------------------------------------------------------------------------------------------------


def begun(text: str, **fields: Any) -> Reply:
    return reply(messages=[USER, {"role": "assistant", "content": text}], **fields)


@pytest.mark.parametrize("length", [1, 7, 30])
def test_an_answer_that_has_been_begun_is_gone_on_with(length: int) -> None:
    whole = reply().text("content")
    assert whole[:length] + begun(whole[:length]).text("content") == whole


def test_an_answer_that_is_all_there_is_ended() -> None:
    left = begun(reply().text("content"))
    assert (left.tokens, left.finish) == ((), "stop")


def test_an_answer_begun_in_other_words_is_gone_on_with_after_as_many() -> None:
    assert len(begun("Once upon a time").tokens) == len(reply().tokens) - 4


def test_whoever_is_asked_and_however_much_is_wanted_the_words_are_the_same() -> None:
    whole = reply(model="text").text("content")
    assert reply(model="cut:after=5").text("content") == whole
    assert whole.startswith(reply(model="slow", max_tokens=3).text("content"))
    assert begun(whole[:10], max_tokens=2).text("content") == "".join(
        token.text for token in begun(whole[:10]).tokens[:2]
    )


def test_a_conversation_that_ends_with_a_tool_call_is_not_a_begun_answer() -> None:
    messages = [USER, {"role": "assistant", "content": "x", "tool_calls": [{"id": "1"}]}]
    assert asked(messages=messages).begun == ""
    assert asked(messages=[{"role": "assistant", "content": "x"}]).begun == ""
