from __future__ import annotations

import json
from typing import Any

from openai.types import Completion

from gateway_http.dialect import Identity
from gateway_http.openai_completions.response import encode_completion
from tollway.chat.v1 import chat_pb2 as pb


def encode(chat: pb.ChatResponse, echo: str = "") -> Any:
    return json.loads(encode_completion(chat, Identity("req_1", "gpt-4o", 1_700_000_000.5), echo))


def choice(*parts: pb.ContentPart, **fields: Any) -> pb.Choice:
    reason = fields.pop("finish_reason", pb.FINISH_REASON_STOP)
    return pb.Choice(message=pb.Message(role=pb.ROLE_ASSISTANT, content=parts), finish_reason=reason, **fields)


def test_an_answer_is_a_text_completion() -> None:
    chat = pb.ChatResponse(
        id="chatcmpl-1",
        model="gpt-4o-2024-08-06",
        choices=[choice(pb.ContentPart(text=" upon")), choice(pb.ContentPart(text=" more"), index=1)],
        usage=pb.Usage(input_tokens=1, output_tokens=2),
        system_fingerprint="fp_1",
    )
    chat.create_time.seconds = 1_600_000_000

    body = encode(chat)

    assert Completion.model_validate(body, strict=True)
    assert (body["id"], body["object"], body["created"]) == ("chatcmpl-1", "text_completion", 1_600_000_000)
    assert body["choices"] == [
        {"text": " upon", "index": 0, "logprobs": None, "finish_reason": "stop"},
        {"text": " more", "index": 1, "logprobs": None, "finish_reason": "stop"},
    ]
    assert (body["usage"]["prompt_tokens"], body["usage"]["total_tokens"]) == (1, 3)


def test_what_a_provider_leaves_out_is_filled_in_but_for_usage() -> None:
    body = encode(pb.ChatResponse())

    assert (body["id"], body["model"], body["created"], body["usage"]) == ("cmpl-req_1", "gpt-4o", 1_700_000_000, None)


def test_an_echo_stands_before_the_text_of_every_choice() -> None:
    chat = pb.ChatResponse(choices=[choice(pb.ContentPart(text=" upon")), choice(index=1)])

    assert [made["text"] for made in encode(chat, "Once")["choices"]] == ["Once upon", "Once"]


def test_log_probabilities_have_the_shape_of_old() -> None:
    top = [pb.TokenLogprob(token=" up", logprob=-0.5), pb.TokenLogprob(token=" the", logprob=-2)]
    logprobs = pb.Logprobs(
        content=[
            pb.TokenLogprob(token=" up", logprob=-0.5, top=top),
            pb.TokenLogprob(token="on", logprob=-0.25),
        ]
    )
    body = encode(pb.ChatResponse(choices=[choice(pb.ContentPart(text=" upon"), logprobs=logprobs)]), "Once")

    assert Completion.model_validate(body, strict=True)
    assert body["choices"][0]["logprobs"] == {
        "tokens": [" up", "on"],
        "token_logprobs": [-0.5, -0.25],
        "top_logprobs": [{" up": -0.5, " the": -2.0}, {}],
        "text_offset": [4, 7],
    }


def test_without_alternatives_there_are_none() -> None:
    logprobs = pb.Logprobs(content=[pb.TokenLogprob(token="a", logprob=-0.5)])

    (made,) = encode(pb.ChatResponse(choices=[choice(logprobs=logprobs)]))["choices"]

    assert made["logprobs"]["top_logprobs"] is None


def test_what_is_said_beside_the_text_stands_in_the_choice() -> None:
    said = choice(
        pb.ContentPart(reasoning=pb.ReasoningPart(text="Hm.")),
        pb.ContentPart(refusal="No."),
        finish_reason=pb.FINISH_REASON_OTHER,
        native_finish_reason="pause_turn",
        stop_sequence="\n",
        extra_json=b'{"x":1}',
    )
    chat = pb.ChatResponse(choices=[said], dialect="anthropic", extra_json=b'{"container":"c"}')

    body = encode(chat)

    assert body["anthropic"] == {"container": "c"}
    assert body["choices"] == [
        {
            "text": "",
            "index": 0,
            "logprobs": None,
            "finish_reason": "pause_turn",
            "native_finish_reason": "pause_turn",
            "stop_sequence": "\n",
            "reasoning_content": "Hm.",
            "refusal": "No.",
            "anthropic": {"x": 1},
        }
    ]
