from __future__ import annotations

import json
from typing import Any

from openai.types.responses import Response

from gateway_http.dialect import Identity
from gateway_http.openai_responses.response import encode_response
from gateway_http.openai_responses.settings import settings_json
from tollway.chat.v1 import chat_pb2 as pb

STOP = pb.FINISH_REASON_STOP


def encode(chat: pb.ChatResponse, **asked: Any) -> Any:
    """The answer, once OpenAI's own model has found nothing wrong with it."""
    body = json.loads(encode_response(chat, Identity("req_1", "gpt-4o", 1_700_000_000.5), settings_json(asked)))
    assert Response.model_validate(body, strict=True)
    return body


def answer(*parts: pb.ContentPart, calls: Any = (), **fields: Any) -> pb.ChatResponse:
    dialect = fields.pop("dialect", "")
    message = pb.Message(role=pb.ROLE_ASSISTANT, content=parts, tool_calls=calls)
    choice = pb.Choice(message=message, **{"finish_reason": STOP, **fields})
    return pb.ChatResponse(choices=[choice], dialect=dialect)


def items(*parts: pb.ContentPart, **fields: Any) -> list[Any]:
    output: list[Any] = encode(answer(*parts, **fields))["output"]
    return output


def test_a_whole_answer_has_every_field_of_openai_s() -> None:
    chat = answer(pb.ContentPart(text="Hi"))
    chat.id, chat.model, chat.service_tier = "chatcmpl-1", "gpt-4o-2024-08-06", "default"
    chat.create_time.seconds = 1_600_000_000
    chat.usage.CopyFrom(
        pb.Usage(input_tokens=9, output_tokens=3, cached_input_tokens=4, cache_write_tokens=1, reasoning_tokens=2)
    )

    body = encode(chat, temperature=0.5, tools=[{"type": "function", "name": "f", "strict": True, "parameters": {}}])

    assert (body["id"], body["object"], body["created_at"], body["status"]) == (
        "chatcmpl-1", "response", 1_600_000_000, "completed",
    )  # fmt: skip
    assert (body["model"], body["service_tier"], body["temperature"]) == ("gpt-4o-2024-08-06", "default", 0.5)
    assert (body["error"], body["incomplete_details"], body["store"]) == (None, None, False)
    assert body["output"] == [
        {
            "id": "msg_req_1_0",
            "type": "message",
            "status": "completed",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "Hi", "annotations": [], "logprobs": []}],
        }
    ]
    assert body["usage"] == {
        "input_tokens": 9,
        "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 1},
        "output_tokens": 3,
        "output_tokens_details": {"reasoning_tokens": 2},
        "total_tokens": 12,
    }


def test_what_a_provider_leaves_out_is_filled_in_but_for_usage() -> None:
    body = encode(pb.ChatResponse())

    assert (body["id"], body["model"], body["created_at"]) == ("resp_req_1", "gpt-4o", 1_700_000_000)
    assert (body["output"], body["usage"]) == ([], None)


def test_counts_of_other_kinds_are_shown_where_there_are_any() -> None:
    chat = answer(pb.ContentPart(text="Hi"))
    chat.usage.CopyFrom(
        pb.Usage(
            input_tokens=9, output_tokens=3, input_audio_tokens=1, output_image_tokens=2, cache_write_1h_tokens=3,
            rejected_prediction_tokens=4, extra_json=b'{"cost":5}',
        )
    )  # fmt: skip

    usage = encode(chat)["usage"]

    assert usage["input_tokens_details"] == {
        "cached_tokens": 0, "cache_write_tokens": 0, "audio_tokens": 1, "cache_write_1h_tokens": 3,
    }  # fmt: skip
    assert usage["output_tokens_details"] == {"reasoning_tokens": 0, "image_tokens": 2, "rejected_prediction_tokens": 4}
    assert usage["openai"] == {"cost": 5}


def test_thinking_and_calls_are_items_of_their_own() -> None:
    calls = [
        pb.ToolCall(id="call_1", type="function", name="f", arguments="{", signature="c2ln"),
        pb.ToolCall(id="call_2", type="custom", name="grep", arguments="x"),
        pb.ToolCall(id="call_3", type="custom", extra_json=b'{"custom":{"name":"sed","input":"y"}}'),
    ]
    thought = pb.ReasoningPart(text="Hm.", signature="c2ln", issuer="anthropic")

    made = items(pb.ContentPart(reasoning=thought), pb.ContentPart(text="Well."), calls=calls)

    assert [item["id"] for item in made] == ["rs_req_1_0", "msg_req_1_1", "fc_req_1_2", "ctc_req_1_3", "ctc_req_1_4"]
    assert made[0] == {
        "id": "rs_req_1_0",
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": "Hm."}],
        "encrypted_content": "tollway:anthropic:signature:c2ln",
        "status": "completed",
    }
    assert made[2] == {
        "id": "fc_req_1_2",
        "type": "function_call",
        "call_id": "call_1",
        "name": "f",
        "arguments": "{",
        "status": "completed",
        "extra_content": {"google": {"thought_signature": "c2ln"}},
    }
    assert [(item["name"], item["input"]) for item in made[3:]] == [("grep", "x"), ("sed", "y")]


def test_encrypted_thinking_is_the_issuer_s_own_word_where_it_is_openai_s() -> None:
    own = pb.ReasoningPart(redacted=b"ZW5j", issuer="openai_responses")
    other = pb.ReasoningPart(redacted=b"ZW5j", issuer="anthropic")

    made = items(pb.ContentPart(reasoning=own), pb.ContentPart(reasoning=other))

    assert [item["encrypted_content"] for item in made] == ["ZW5j", "tollway:anthropic:ZW5j"]
    assert [item["summary"] for item in made] == [[], []]


def test_the_tier_that_was_billed_is_told() -> None:
    chat = answer()
    chat.usage.service_tier = "priority"

    assert encode(chat)["service_tier"] == "priority"


def test_sources_on_the_web_are_annotations_and_others_stand_beside() -> None:
    citations = [
        pb.Citation(url="https://a.example", title="A", cited_text="words", answer_start=1, answer_end=2),
        pb.Citation(url="https://b.example", extra_json=b'{"x":1}'),
        pb.Citation(type="page_location", title="B", document_index=0, source_start=1, source_end=2),
    ]

    ((said,),) = [
        item["content"] for item in items(pb.ContentPart(text="Hey", citations=citations), dialect="anthropic")
    ]

    assert said["annotations"] == [
        {"type": "url_citation", "url": "https://a.example", "title": "A", "start_index": 1, "end_index": 2,
         "content": "words"},
        {"type": "url_citation", "url": "https://b.example", "title": "", "start_index": 0, "end_index": 3,
         "anthropic": {"x": 1}},
    ]  # fmt: skip
    assert said["citations"] == [
        {"type": "page_location", "title": "B", "document_index": 0, "source_start": 1, "source_end": 2}
    ]


def test_log_probabilities_stand_with_the_text() -> None:
    top = pb.TokenLogprob(token="Ho", logprob=-2.0)
    token = pb.TokenLogprob(token="é", logprob=-0.5, token_bytes="é".encode(), top=[top])

    (item,) = items(pb.ContentPart(text="é"), logprobs=pb.Logprobs(content=[token]))

    assert item["content"][0]["text"] == "é"
    assert item["content"][0]["logprobs"] == [
        {
            "token": "é",
            "logprob": -0.5,
            "bytes": [195, 169],
            "top_logprobs": [{"token": "Ho", "logprob": -2.0, "bytes": [72, 111]}],
        }
    ]


def test_log_probabilities_of_a_refusal_are_not_dropped() -> None:
    logprobs = pb.Logprobs(refusal=[pb.TokenLogprob(token="No", logprob=-0.5)])

    (item,) = items(pb.ContentPart(refusal="No"), logprobs=logprobs)

    assert [token["token"] for token in item["content"][0]["logprobs"]] == ["No"]


def test_a_refusal_is_a_part_of_its_own() -> None:
    (item,) = items(pb.ContentPart(text="Well. "), pb.ContentPart(refusal="No."))

    assert [part.get("text", part.get("refusal")) for part in item["content"]] == ["Well. ", "No."]
    assert item["content"][1] == {"type": "refusal", "refusal": "No."}


def test_pictures_are_results_of_making_them() -> None:
    made = items(
        pb.ContentPart(image=pb.ImagePart(data=b"\0", media_type="image/png")),
        pb.ContentPart(image=pb.ImagePart(url="data:image/webp;base64,AA==")),
        pb.ContentPart(image=pb.ImagePart(url="https://a.example/b")),
    )

    assert [(item["type"], item["result"], item.get("output_format"), item.get("url")) for item in made] == [
        ("image_generation_call", "AA==", "png", None),
        ("image_generation_call", "AA==", "webp", None),
        ("image_generation_call", None, None, "https://a.example/b"),
    ]


def test_sound_and_files_stand_in_a_message() -> None:
    (item,) = items(
        pb.ContentPart(audio=pb.AudioPart(data=b"\0", format="wav", transcript="Hi")),
        pb.ContentPart(file=pb.FilePart(filename="a.pdf", file_id="file-1")),
    )

    assert item["content"][0]["text"] == "Hi"
    assert item["content"][0]["audio"] == {"data": "AA==", "format": "wav", "transcript": "Hi"}
    assert item["files"] == [{"type": "file", "file": {"filename": "a.pdf", "file_id": "file-1"}}]


def test_an_answer_that_was_cut_short_says_why() -> None:
    cut = encode(answer(pb.ContentPart(text="Hi"), finish_reason=pb.FINISH_REASON_LENGTH))
    filtered = encode(answer(finish_reason=pb.FINISH_REASON_CONTENT_FILTER, native_finish_reason="SAFETY"))

    assert (cut["status"], cut["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
    assert cut["output"][0]["status"] == "incomplete"
    assert (filtered["status"], filtered["incomplete_details"]) == ("incomplete", {"reason": "content_filter"})
    assert filtered["native_finish_reason"] == "SAFETY"


def test_only_the_last_item_of_an_answer_that_was_cut_short_is_incomplete() -> None:
    calls = [pb.ToolCall(id=f"call_{i}", type="function", name="f", arguments="{") for i in range(2)]

    made = items(pb.ContentPart(text="Hi"), calls=calls, finish_reason=pb.FINISH_REASON_LENGTH)

    assert [item["status"] for item in made] == ["completed", "completed", "incomplete"]


def test_which_stop_sequence_it_was_is_said() -> None:
    assert encode(answer(stop_sequence="END"))["stop_sequence"] == "END"


def test_fields_of_another_dialect_stand_under_its_name() -> None:
    said = answer(
        pb.ContentPart(text="Hi", extra_json=b'{"x":1}'),
        pb.ContentPart(extra_json=b'{"type":"server_tool_use"}'),
        calls=[pb.ToolCall(id="c", type="function", name="f", extra_json=b'{"y":1}')],
        extra_json=b'{"z":1}',
        dialect="anthropic",
    )
    said.extra_json = b'{"container":{}}'

    body = encode(said)

    assert body["anthropic"] == {"container": {}, "z": 1}
    assert body["output"][0]["content_parts"] == [
        {"part": 0, "of": "text", "anthropic": {"x": 1}},
        {"part": 1, "anthropic": {"type": "server_tool_use"}},
    ]
    assert body["output"][1]["anthropic"] == {"y": 1}


def test_fields_of_its_own_stand_where_they_stood() -> None:
    search = {
        "type": "web_search_call",
        "id": "ws_1",
        "status": "completed",
        "action": {"type": "search", "query": "q"},
    }
    said = answer(
        pb.ContentPart(extra_json=json.dumps(search).encode()),
        pb.ContentPart(text="Hi", extra_json=b'{"new":1}'),
        dialect="openai_responses",
    )
    said.extra_json = b'{"prompt_cache_diagnostics":{"type":"cache_hit"},"top_p":0.9,"id":"x"}'

    body = encode(said)

    assert body["output"][0] == search
    assert body["output"][1]["content"][0]["new"] == 1
    assert body["prompt_cache_diagnostics"] == {"type": "cache_hit"}
    assert (body["top_p"], body["id"]) == (0.9, "resp_req_1")


def test_what_is_of_an_item_stands_in_the_item() -> None:
    thought = pb.ReasoningPart(text="a\n\nb", redacted=b"x", issuer="openai_responses")
    summary = [{"type": "summary_text", "text": "a"}, {"type": "summary_text", "text": "b"}]
    picture = pb.ContentPart(image=pb.ImagePart(data=b"\0", media_type="image/png"))
    picture.extra_json = b'{"id":"ig_1","type":"image_generation_call","revised_prompt":"p"}'

    made = items(
        pb.ContentPart(reasoning=thought, extra_json=json.dumps({"summary": summary}).encode()),
        pb.ContentPart(text="Hi", extra_json=b'{"item":{"phase":"commentary"},"new":1}'),
        picture,
        dialect="openai_responses",
    )

    assert [item["type"] for item in made] == ["reasoning", "message", "image_generation_call"]
    assert (made[0]["summary"], made[0]["encrypted_content"]) == (summary, "x")
    assert (made[1]["phase"], made[1]["content"][0]["new"]) == ("commentary", 1)
    assert (made[2]["id"], made[2]["revised_prompt"], made[2]["result"]) == ("ig_1", "p", "AA==")
