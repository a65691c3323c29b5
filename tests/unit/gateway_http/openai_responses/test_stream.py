from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from gateway_http.dialect import Identity
from gateway_http.errors import OPENAI
from gateway_http.openai_responses.settings import settings_json
from gateway_http.openai_responses.stream import EventEncoder
from mesh.errors import Reason, TollwayError, invalid
from tollway.chat.v1 import chat_pb2 as pb
from tollway.router.v1.router_pb2 import Receipt

RECEIPT = Receipt(deployment="openai/gpt-4o", attempts=1, cost_nanos=10_000_000)
TOLD = {"cost_usd": 0.01, "deployment": "openai/gpt-4o", "attempts": 1, "trace_id": "0af7"}
STOP, LENGTH = pb.FINISH_REASON_STOP, pb.FINISH_REASON_LENGTH
USAGE = pb.Usage(input_tokens=9, output_tokens=3, cached_input_tokens=4, reasoning_tokens=2)
EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)


def encoder(**asked: Any) -> EventEncoder:
    return EventEncoder(Identity("req_1", "gpt-4o", 1_700_000_000.5), settings_json(asked))


def read(raw: bytes, begin: int = 0) -> list[Any]:
    """The events, once OpenAI's own types have found nothing wrong with them and their numbers have no gap."""
    made = []
    for event in raw.decode().removesuffix("\n\n").split("\n\n"):
        name, data = event.split("\n")
        made.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {made[-1]['type']}"
        assert EVENT.validate_python(made[-1], strict=True).type == made[-1]["type"]
    assert [event["sequence_number"] for event in made] == list(range(begin, begin + len(made)))
    return made


def stream(*chunks: pb.ChatChunk, **asked: Any) -> list[Any]:
    """The events of a whole stream."""
    making = encoder(**asked)
    return read(b"".join(making.encode(chunk) for chunk in chunks) + making.finish(RECEIPT, "0af7"))


def of(*deltas: pb.Delta, **fields: Any) -> list[Any]:
    """The events of a stream of these deltas and an end, without those that every stream begins with."""
    ends = [] if any(delta.finish_reason for delta in deltas) else [pb.Delta(finish_reason=STOP)]
    return stream(pb.ChatChunk(deltas=[*deltas, *ends], **fields))[2:]


def kinds(events: Sequence[Any]) -> list[str]:
    return [event["type"].removeprefix("response.") for event in events]


def call(index: int, arguments: str = "", **names: Any) -> pb.Delta:
    kind = {"type": "function"} if "id" in names else {}
    return pb.Delta(tool_calls=[pb.ToolCallDelta(index=index, arguments=arguments, **{**kind, **names})])


def test_a_stream_of_text_is_a_message_that_is_begun_grows_and_is_ended() -> None:
    chunk = pb.ChatChunk(
        id="chatcmpl-1", model="gpt-4o-2024-08-06",
        deltas=[pb.Delta(role=pb.ROLE_ASSISTANT), pb.Delta(text="Hel"), pb.Delta(text="lo")],
    )  # fmt: skip

    made = stream(chunk, pb.ChatChunk(deltas=[pb.Delta(finish_reason=STOP)], usage=USAGE))

    assert kinds(made) == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert [event["delta"] for event in made[4:6]] == ["Hel", "lo"]
    assert {(event["item_id"], event["output_index"], event["content_index"]) for event in made[3:8]} == {
        ("msg_req_1_0", 0, 0)
    }
    part = {"type": "output_text", "text": "Hello", "annotations": [], "logprobs": []}
    message = {"id": "msg_req_1_0", "type": "message", "status": "completed", "role": "assistant", "content": [part]}
    assert (made[6]["text"], made[7]["part"], made[8]["item"]) == ("Hello", part, message)
    assert made[2]["item"] == {**message, "status": "in_progress", "content": []}
    assert made[-1]["response"]["output"] == [message]


def test_the_last_event_has_the_whole_answer_its_usage_and_how_it_came_about() -> None:
    chunk = pb.ChatChunk(id="chatcmpl-1", deltas=[pb.Delta(text="Hi"), pb.Delta(finish_reason=STOP)])

    first, *_, end = stream(
        chunk, pb.ChatChunk(usage=USAGE, service_tier="flex", system_fingerprint="fp"), temperature=0.5
    )

    assert (first["response"]["status"], first["response"]["output"]) == ("in_progress", [])
    assert (end["response"]["status"], end["response"]["service_tier"]) == ("completed", "flex")
    assert {event["response"]["id"] for event in (first, end)} == {"chatcmpl-1"}
    assert {event["response"]["temperature"] for event in (first, end)} == {0.5}
    assert end["response"]["usage"] == {
        "input_tokens": 9,
        "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 0},
        "output_tokens": 3,
        "output_tokens_details": {"reasoning_tokens": 2},
        "total_tokens": 12,
    }
    assert end["response"]["system_fingerprint"] == "fp"
    assert (end["tollway"], "tollway" in first) == (TOLD, False)


def test_usage_that_is_not_known_is_not_made_up() -> None:
    assert of(pb.Delta(text="Hi"))[-1]["response"]["usage"] is None


def test_what_a_provider_leaves_out_of_a_stream_is_filled_in() -> None:
    response = stream(pb.ChatChunk(deltas=[pb.Delta(finish_reason=STOP)]))[0]["response"]

    assert (response["id"], response["model"], response["created_at"]) == ("resp_req_1", "gpt-4o", 1_700_000_000)


def test_an_answer_of_another_request_is_called_what_it_was_called_then() -> None:
    making = encoder()
    making.stand_in("req_0")

    first, *_, done = read(making.encode(pb.ChatChunk(deltas=[pb.Delta(text="a")])))

    assert first["response"]["id"] == "resp_req_0"
    assert done["item_id"] == "msg_req_0_0"


def test_text_is_not_kept_back() -> None:
    making = encoder()
    making.encode(pb.ChatChunk(deltas=[pb.Delta(text="a")]))

    (event,) = read(making.encode(pb.ChatChunk(deltas=[pb.Delta(text="b")])), begin=5)

    assert event["delta"] == "b"


def test_thinking_is_an_item_before_what_is_said_with_its_proof_at_its_end() -> None:
    made = of(
        pb.Delta(reasoning=pb.ReasoningPart(text="H")),
        pb.Delta(reasoning=pb.ReasoningPart(text="m.")),
        pb.Delta(reasoning=pb.ReasoningPart(signature="c2ln", issuer="anthropic")),
        pb.Delta(text="Hi", part=1),
    )

    assert kinds(made)[:8] == [
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
        "output_item.added",
    ]
    assert made[4]["text"] == "Hm."
    assert made[6]["item"] == {
        "id": "rs_req_1_0",
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": "Hm."}],
        "encrypted_content": "tollway:anthropic:signature:c2ln",
        "status": "completed",
    }
    assert (made[7]["output_index"], made[7]["item"]["type"]) == (1, "message")


def test_another_part_of_thinking_or_what_follows_a_proof_is_another_item() -> None:
    made = of(
        pb.Delta(reasoning=pb.ReasoningPart(text="a", signature="s")),
        pb.Delta(reasoning=pb.ReasoningPart(text="b")),
        pb.Delta(part=1, reasoning=pb.ReasoningPart(text="c")),
        pb.Delta(part=2, reasoning=pb.ReasoningPart(redacted=b"x", issuer="openai_responses")),
    )

    output = made[-1]["response"]["output"]
    assert [[said["text"] for said in item["summary"]] for item in output] == [["a"], ["b"], ["c"], []]
    assert [item.get("encrypted_content") for item in output] == ["signature:s", None, None, "x"]


def test_another_part_of_text_is_another_part_of_the_message() -> None:
    made = of(pb.Delta(text="a"), pb.Delta(part=1, text="b"), pb.Delta(part=1, refusal="c"))

    (message,) = made[-1]["response"]["output"]
    assert [part.get("text", part.get("refusal")) for part in message["content"]] == ["a", "b", "c"]
    assert kinds(made).count("output_item.added") == 1
    assert [event["content_index"] for event in made if event["type"] == "response.content_part.done"] == [0, 1, 2]


def test_a_refusal_has_events_of_its_own() -> None:
    made = of(pb.Delta(refusal="N"), pb.Delta(refusal="o."))

    assert kinds(made)[2:6] == ["refusal.delta", "refusal.delta", "refusal.done", "content_part.done"]
    assert made[4]["refusal"] == "No."


def test_log_probabilities_of_a_refusal_come_at_its_end() -> None:
    drawn = pb.Logprobs(refusal=[pb.TokenLogprob(token="No", logprob=-0.5)])

    made = of(pb.Delta(refusal="No", logprobs=drawn))

    assert [token["token"] for token in made[4]["part"]["logprobs"]] == ["No"]


def test_a_call_grows_by_its_arguments() -> None:
    made = of(call(0, id="call_1", name="f"), call(0, '{"a'), call(0, '":1}'))

    assert kinds(made) == [
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ]
    assert made[0]["item"] == {
        "id": "fc_req_1_0",
        "type": "function_call",
        "call_id": "call_1",
        "name": "f",
        "arguments": "",
        "status": "in_progress",
    }
    assert (made[3]["arguments"], made[4]["item"]["arguments"]) == ('{"a":1}', '{"a":1}')


def test_calls_that_come_mixed_are_items_that_are_begun_and_ended_in_order() -> None:
    made = of(
        pb.Delta(text="Let me see."),
        call(0, id="call_1", name="f"),
        call(1, id="call_2", name="g"),
        call(1, "[2"),
        call(0, "[1"),
        call(1, "]"),
        call(0, "]", signature="c2ln"),
    )

    ended = [event for event in made if event["type"] == "response.output_item.done"]
    assert [(event["output_index"], event["item"]["type"]) for event in ended] == [
        (0, "message"), (1, "function_call"), (2, "function_call"),
    ]  # fmt: skip
    assert [event["item"]["arguments"] for event in ended[1:]] == ["[1]", "[2]"]
    assert ended[1]["item"]["extra_content"] == {"google": {"thought_signature": "c2ln"}}
    assert kinds(made).index("output_item.done") < kinds(made).index("function_call_arguments.delta")
    assert made[-1]["response"]["output"] == [event["item"] for event in ended]


def test_text_after_a_call_is_another_message() -> None:
    made = of(pb.Delta(text="a"), call(0, "{}", id="call_1", name="f"), pb.Delta(text="b"))

    assert [item["type"] for item in made[-1]["response"]["output"]] == ["message", "function_call", "message"]


def test_a_call_of_a_tool_of_one_s_own_has_plain_input() -> None:
    made = of(call(0, id="call_1", type="custom", name="grep"), call(0, "x"))

    assert kinds(made)[1:3] == ["custom_tool_call_input.delta", "custom_tool_call_input.done"]
    assert made[3]["item"] == {
        "id": "ctc_req_1_0", "type": "custom_tool_call", "call_id": "call_1", "name": "grep", "input": "x",
    }  # fmt: skip


def test_log_probabilities_come_with_the_text() -> None:
    drawn = [pb.Logprobs(content=[pb.TokenLogprob(token=token, logprob=-0.5)]) for token in "ab"]

    made = of(pb.Delta(text="a", logprobs=drawn[0]), pb.Delta(text="b", logprobs=drawn[1]))

    told = [{"token": token, "logprob": -0.5, "bytes": [ord(token)], "top_logprobs": []} for token in "ab"]
    assert [event["logprobs"] for event in made[2:4]] == [[told[0]], [told[1]]]
    assert (made[4]["logprobs"], made[5]["part"]["logprobs"]) == (told, told)


def test_the_tier_that_was_billed_is_told() -> None:
    usage = pb.Usage(service_tier="standard")

    made = stream(
        pb.ChatChunk(deltas=[pb.Delta(text="Hi")]), pb.ChatChunk(deltas=[pb.Delta(finish_reason=STOP)], usage=usage)
    )

    assert (made[0]["response"]["service_tier"], made[-1]["response"]["service_tier"]) == (None, "default")


def test_sources_come_as_annotations() -> None:
    web = pb.Citation(type="url_citation", url="https://a.example", title="A")
    document = pb.Citation(type="page_location", document_index=1)

    made = of(pb.Delta(text="Hi"), pb.Delta(citations=[web, document]))

    (added,) = [event for event in made if event["type"] == "response.output_text.annotation.added"]
    annotation = {
        "type": "url_citation", "url": "https://a.example", "title": "A", "start_index": 0, "end_index": 2,
    }  # fmt: skip
    assert (added["annotation_index"], added["annotation"]) == (0, annotation)
    (part,) = made[-1]["response"]["output"][0]["content"]
    assert part["annotations"] == [annotation]
    assert part["citations"] == [{"type": "page_location", "document_index": 1}]


def test_a_source_of_a_whole_part_waits_for_its_end() -> None:
    web = pb.Citation(url="https://a.example")

    made = of(pb.Delta(citations=[web]), pb.Delta(text="Paris"), pb.Delta(part=1, text=" is big"))

    told = kinds(made)
    assert told.index("output_text.annotation.added") == told.index("output_text.done") - 1
    first, second = made[-1]["response"]["output"][0]["content"]
    assert [(each["start_index"], each["end_index"]) for each in first["annotations"]] == [(0, 5)]
    assert second["annotations"] == []


def test_a_source_of_a_text_that_others_have_followed_stands_with_that_text() -> None:
    web = pb.Citation(url="https://a.example", answer_start=1, answer_end=2)
    image = pb.ContentPart(image=pb.ImagePart(data=b"\0", media_type="image/png"))

    made = of(
        pb.Delta(text="Paris"), pb.Delta(part=1, parts=[image]), pb.Delta(part=2, text="Big"),
        pb.Delta(citations=[web, pb.Citation(url="https://b.example")]), pb.Delta(part=2, text="."),
    )  # fmt: skip

    added = [event for event in made if event["type"] == "response.output_text.annotation.added"]
    assert [(each["output_index"], each["content_index"], each["annotation_index"]) for each in added] == [
        (0, 0, 0), (0, 0, 1),
    ]  # fmt: skip
    said, _, after = made[-1]["response"]["output"]
    assert [(each["start_index"], each["end_index"]) for each in said["content"][0]["annotations"]] == [(1, 2), (0, 5)]
    assert [(each["text"], each["annotations"]) for each in after["content"]] == [("Big.", [])]


def test_a_source_that_waits_is_not_lost_where_the_answer_breaks_off() -> None:
    making = encoder()
    begun = pb.ChatChunk(deltas=[pb.Delta(text="Paris", citations=[pb.Citation(url="https://a.example")])])

    *_, failed, _ = read(making.encode(begun) + making.fail(TollwayError(Reason.UPSTREAM_CUT, "cut"), "0af7"))

    (annotation,) = failed["response"]["output"][0]["content"][0]["annotations"]
    assert (annotation["start_index"], annotation["end_index"]) == (0, 5)


def test_a_picture_is_an_item_that_is_ended_at_once() -> None:
    image = pb.ContentPart(image=pb.ImagePart(data=b"\0", media_type="image/png"))

    made = of(pb.Delta(text="Here: "), pb.Delta(parts=[image]), pb.Delta(text="There."))

    assert [item["type"] for item in made[-1]["response"]["output"]] == ["message", "image_generation_call", "message"]


@pytest.mark.parametrize(
    ("reason", "why"), [(LENGTH, "max_output_tokens"), (pb.FINISH_REASON_CONTENT_FILTER, "content_filter")]
)
def test_an_answer_that_was_cut_short_is_incomplete(reason: pb.FinishReason.ValueType, why: str) -> None:
    *_, done, end = of(pb.Delta(text="Hi"), pb.Delta(finish_reason=reason, stop_sequence="x"))

    assert done["item"]["status"] == "incomplete"
    assert end["type"] == "response.incomplete"
    assert (end["response"]["status"], end["response"]["incomplete_details"]) == ("incomplete", {"reason": why})
    assert (end["response"]["stop_sequence"], end["tollway"]) == ("x", TOLD)


@pytest.mark.parametrize(
    "deltas",
    [[], [pb.Delta(text="a")], [pb.Delta(text="a", finish_reason=STOP), pb.Delta(index=1, text="x")]],
)
def test_a_stream_that_is_cut_is_never_given_an_end(deltas: list[pb.Delta]) -> None:
    making = encoder()
    making.encode(pb.ChatChunk(deltas=deltas))

    with pytest.raises(TollwayError) as raised:
        making.finish(RECEIPT, "0af7")

    assert raised.value.reason is Reason.UPSTREAM_CUT


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (TollwayError(Reason.UPSTREAM_CUT, "it broke off"), "server_error"),
        (TollwayError(Reason.UPSTREAM_RATE_LIMITED, "slow down"), "rate_limit_exceeded"),
        (invalid("input", "is wrong"), "invalid_prompt"),
    ],
)
def test_an_error_in_a_stream_is_numbered_and_tells_what_was_said_before(error: TollwayError, code: str) -> None:
    making = encoder()
    begun = read(making.encode(pb.ChatChunk(deltas=[pb.Delta(text="Hel"), call(0, "{", id="c", name="f")])))

    raw = making.failing(OPENAI).event(error, "0af7")

    failed, told = (
        json.loads(event.split("\n")[1].removeprefix("data: ")) for event in raw.decode().strip().split("\n\n")
    )
    assert (failed["type"], failed["sequence_number"]) == ("response.failed", len(begun))
    assert EVENT.validate_python(failed, strict=True)
    response = failed["response"]
    assert (response["status"], response["error"]) == ("failed", {"code": code, "message": error.message})
    assert response["output"][0]["content"][0]["text"] == "Hel"
    assert (response["output"][1]["arguments"], response["output"][1]["status"]) == ("{", "incomplete")
    assert told["type"] == "error"
    assert (told["message"], told["code"]) == (error.message, error.row.openai_code)
    assert told["error"]["trace_id"] == "0af7"


def test_an_error_before_a_stream_is_told_as_any_other() -> None:
    error = TollwayError(Reason.UPSTREAM_CUT, "it broke off")

    assert encoder().failing(OPENAI).body(error, "0af7") == OPENAI.body(error, "0af7")


def test_fields_without_a_place_are_joined_on_the_last_event() -> None:
    chunks = [
        pb.ChatChunk(extra_json=b'{"prompt_filter_results":[1],"obfuscation":"xyz"}'),
        pb.ChatChunk(deltas=[pb.Delta(text="a", extra_json=b'{"audio":{"data":"A"}}')]),
        pb.ChatChunk(deltas=[pb.Delta(extra_json=b'{"audio":{"data":"B"},"n":1}')]),
        pb.ChatChunk(deltas=[pb.Delta(finish_reason=STOP, choice_extra_json=b'{"n":2}')]),
    ]

    assert stream(*chunks)[-1]["response"]["openai"] == {
        "prompt_filter_results": [1], "audio": {"data": "AB"}, "n": 2,
    }  # fmt: skip


def test_fields_of_its_own_displace_nothing() -> None:
    chunk = pb.ChatChunk(
        deltas=[pb.Delta(text="a", finish_reason=STOP)],
        extra_json=b'{"id":"x","top_p":0.9,"prompt_cache_diagnostics":{"type":"cache_hit"}}',
        dialect="openai_responses",
    )

    response = stream(chunk)[-1]["response"]

    assert (response["id"], response["top_p"]) == ("resp_req_1", 0.9)
    assert response["prompt_cache_diagnostics"] == {"type": "cache_hit"}


@pytest.mark.parametrize("character", ["\x85", "\u2028", "\u2029"])
def test_no_event_has_a_character_at_which_some_readers_break_lines(character: str) -> None:
    made = encoder().encode(pb.ChatChunk(deltas=[pb.Delta(text=f"a{character}é"), pb.Delta(text=character)]))

    assert character not in made.decode()
    assert "".join(event.get("delta", "") for event in read(made)) == f"a{character}é{character}"


def test_what_is_of_an_item_stands_in_the_item() -> None:
    made = of(
        pb.Delta(text="Hi"),
        pb.Delta(extra_json=b'{"item":{"phase":"commentary"}}'),
        pb.Delta(reasoning=pb.ReasoningPart(text="Hm."), extra_json=b'{"item":{"new":1}}'),
        dialect="openai_responses",
    )

    message, thought = made[-1]["response"]["output"]
    assert (message["phase"], thought["new"]) == ("commentary", 1)
    assert "item" not in made[-1]["response"]


def test_what_is_said_after_a_call_is_ended_after_it() -> None:
    begun = (call(0, "{", id="call_1", name="f"), pb.Delta(text="a"), call(1, id="call_2", name="g"))
    events = of(*begun, call(0, "}"))
    done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    assert [item["type"] for item in done] == ["function_call", "message", "function_call"]
    assert done == events[-1]["response"]["output"]


def test_what_was_said_between_calls_is_whole_where_the_answer_breaks_off() -> None:
    making = encoder()
    deltas = [call(0, "{", id="call_1", name="f"), pb.Delta(text="a"), call(1, id="call_2", name="g")]
    begun = making.encode(pb.ChatChunk(id="resp_1", model="m", deltas=deltas))
    *_, failed, _ = read(begun + making.fail(TollwayError(Reason.UPSTREAM_CUT, "cut"), "0af7"))
    output = failed["response"]["output"]
    assert [item["status"] for item in output] == ["incomplete", "completed", "incomplete"]
    assert output[1]["content"][0]["text"] == "a"
