"""What may be said, made up by Hypothesis in the words of `tollway.chat.v1`: what both of OpenAI's dialects can say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from hypothesis import strategies as st

from tollway.chat.v1 import chat_pb2 as pb

Draw = Callable[..., Any]

words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
some_words = words.filter(bool)
names = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)
urls = names.map(lambda name: f"https://example.com/{name}")
numbers = st.floats(-4, 4, allow_nan=False).map(lambda number: number + 0.0)  # no negative zero
objects = st.dictionaries(names, st.integers(-(2**80), 2**80) | words | st.none(), max_size=2).map(msgspec.json.encode)


@st.composite
def told(draw: Draw, *, parts: st.SearchStrategy[pb.ContentPart]) -> pb.Message:
    """A turn of somebody who is not the model."""
    role = draw(st.sampled_from([pb.ROLE_SYSTEM, pb.ROLE_DEVELOPER, pb.ROLE_USER]))
    kinds = parts if role == pb.ROLE_USER else some_words.map(lambda text: pb.ContentPart(text=text))
    return pb.Message(role=role, content=draw(st.lists(kinds, min_size=1, max_size=3)))


@st.composite
def asked_parts(draw: Draw, *, details: list[str]) -> pb.ContentPart:
    """A part of a question. `details` are how closely a picture can be said to be looked at."""
    kind = draw(st.sampled_from(["text", "image", "file_data", "file_id"]))
    if kind == "text":
        return pb.ContentPart(text=draw(some_words))
    if kind == "image":
        return pb.ContentPart(image=pb.ImagePart(url=draw(urls), detail=draw(st.sampled_from(details))))
    if kind == "file_id":
        return pb.ContentPart(file=pb.FilePart(file_id=draw(names)))
    data = draw(st.binary(min_size=1, max_size=8))
    return pb.ContentPart(file=pb.FilePart(data=data, media_type="application/pdf", filename=draw(some_words)))


@st.composite
def calls(draw: Draw) -> list[pb.ToolCall]:
    made = draw(st.lists(st.tuples(names, words), max_size=3))
    return [
        pb.ToolCall(id=f"call_{place}", type="function", name=name, arguments=arguments)
        for place, (name, arguments) in enumerate(made)
    ]


@st.composite
def tools(draw: Draw) -> pb.ToolDefinition:
    tool = pb.ToolDefinition(type="function", name=draw(names), description=draw(words))
    tool.parameters_json = draw(objects.filter(lambda schema: schema != b"{}"))
    tool.strict = draw(st.booleans())
    return tool


@st.composite
def options(draw: Draw) -> pb.ChatRequest:
    """A question's options, without what is asked."""
    chat = pb.ChatRequest(
        model="m",
        tools=draw(st.lists(tools(), max_size=2)),
        reasoning_effort=draw(st.sampled_from(["", "low", "high"])),
        service_tier=draw(st.sampled_from(["", "flex"])),
        metadata=draw(st.dictionaries(names, words, max_size=2)),
        user=draw(words),
    )
    for name, values in (("temperature", numbers), ("top_p", numbers), ("max_output_tokens", st.integers(1, 2**40))):
        if draw(st.booleans()):
            setattr(chat.sampling, name, draw(values))
    if draw(st.booleans()):
        chat.parallel_tool_calls = draw(st.booleans())
    if draw(st.booleans()):
        chat.tool_choice.CopyFrom(draw(choices))
    if draw(st.booleans()):
        chat.response_format.CopyFrom(draw(formats()))
    return chat


choices = st.sampled_from(
    [
        pb.ToolChoice(mode=pb.TOOL_CHOICE_MODE_AUTO),
        pb.ToolChoice(mode=pb.TOOL_CHOICE_MODE_NONE),
        pb.ToolChoice(mode=pb.TOOL_CHOICE_MODE_REQUIRED),
        pb.ToolChoice(mode=pb.TOOL_CHOICE_MODE_NAMED, name="f"),
    ]
)


@st.composite
def formats(draw: Draw) -> pb.ResponseFormat:
    kind = draw(st.sampled_from([pb.RESPONSE_FORMAT_KIND_TEXT, pb.RESPONSE_FORMAT_KIND_JSON_OBJECT]) | st.none())
    if kind is not None:
        return pb.ResponseFormat(kind=kind)
    wanted = pb.ResponseFormat(kind=pb.RESPONSE_FORMAT_KIND_JSON_SCHEMA, name=draw(names), description=draw(words))
    wanted.schema_json = draw(objects)
    if draw(st.booleans()):
        wanted.strict = draw(st.booleans())
    return wanted


@st.composite
def logprobs(draw: Draw) -> pb.Logprobs:
    drawn = st.builds(
        pb.TokenLogprob,
        token=some_words,
        logprob=numbers,
        token_bytes=st.binary(max_size=3),
        top=st.lists(st.builds(pb.TokenLogprob, token=words, logprob=numbers, token_bytes=st.binary()), max_size=2),
    )
    return pb.Logprobs(content=draw(st.lists(drawn, min_size=1, max_size=3)))


@st.composite
def citations(draw: Draw) -> pb.Citation:
    start = draw(st.integers(0, 9))
    return pb.Citation(type="url_citation", url=draw(urls), title=draw(words), answer_start=start, answer_end=start + 3)


def cut(draw: Draw, text: str) -> list[str]:
    """The text in pieces, none of them empty."""
    places = sorted(draw(st.sets(st.integers(1, len(text) - 1), max_size=3))) if len(text) > 1 else []
    return [text[start:end] for start, end in zip([0, *places], [*places, len(text)], strict=True) if start < end]
