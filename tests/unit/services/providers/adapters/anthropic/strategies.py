"""Questions and answers as Anthropic's dialect can say them, in the form in which they come back from being read."""

from __future__ import annotations

from typing import Any

import orjson
from hypothesis import strategies as st

from tollway.chat.v1 import chat_pb2 as pb

_LETTERS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=12)
_NAMES = st.text("abc_-019", min_size=1, max_size=8)
_COUNTS = st.integers(0, 5000)
_SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-(2**53), 2**53), _LETTERS)
_OBJECTS = st.dictionaries(_NAMES, st.recursive(_SCALARS, lambda inner: st.lists(inner, max_size=3)), max_size=3)
_EXTRAS = st.one_of(
    st.just(b""), st.dictionaries(st.sampled_from(["x_new", "x_later"]), _SCALARS, min_size=1).map(orjson.dumps)
)
_MARKS = st.one_of(
    st.none(), st.sampled_from(["", "5m", "1h"]).map(lambda lifetime: pb.CacheControl(lifetime=lifetime))
)
_SCHEMAS = _OBJECTS.map(lambda properties: orjson.dumps({"type": "object", "properties": properties}))


def _sources(kind: Any, media_types: list[str]) -> st.SearchStrategy[Any]:
    return st.one_of(
        _NAMES.map(lambda name: kind(url=f"https://example.com/{name}")),
        _NAMES.map(lambda name: kind(file_id=name)),
        st.builds(kind, data=st.binary(min_size=1, max_size=8), media_type=st.sampled_from(media_types)),
    )


_IMAGES = _sources(pb.ImagePart, ["image/png", "image/webp"])
_TEXT_FILES = st.builds(pb.FilePart, data=_LETTERS.map(str.encode), media_type=st.just("text/plain"), filename=_NAMES)
_FILES = st.one_of(_sources(pb.FilePart, ["application/pdf"]), _TEXT_FILES)
_DOCUMENT_CITATIONS = st.builds(
    pb.Citation,
    type=st.sampled_from(["char_location", "page_location", "content_block_location"]),
    cited_text=_LETTERS, title=st.one_of(st.just(""), _LETTERS), document_index=_COUNTS,
    source_start=_COUNTS, source_end=_COUNTS,
)  # fmt: skip
_SEARCH_CITATIONS = st.builds(
    pb.Citation, type=st.just("search_result_location"), cited_text=_LETTERS, url=_NAMES, title=_LETTERS,
    source_start=_COUNTS, source_end=_COUNTS, extra_json=_COUNTS.map(lambda n: b'{"search_result_index":%d}' % n),
)  # fmt: skip
_WEB_CITATIONS = st.builds(
    pb.Citation, type=st.just("web_search_result_location"), cited_text=_LETTERS, url=_NAMES, title=_LETTERS,
    extra_json=st.just(b'{"encrypted_index":"Eo8="}'),
)  # fmt: skip
_CITATIONS = st.one_of(_DOCUMENT_CITATIONS, _SEARCH_CITATIONS, _WEB_CITATIONS)
_THINKING = st.builds(
    pb.ReasoningPart, text=st.one_of(st.just(""), _LETTERS), signature=_NAMES, issuer=st.just("anthropic")
)
_REDACTED = st.builds(pb.ReasoningPart, redacted=_NAMES.map(str.encode), issuer=st.just("anthropic"))
_REASONING = st.one_of(_THINKING, _REDACTED).map(lambda thinking: pb.ContentPart(reasoning=thinking))
_SEARCHES = st.builds(
    lambda call, found: [pb.ContentPart(extra_json=orjson.dumps(each)) for each in (call, found)],
    _OBJECTS.map(lambda given: {"type": "server_tool_use", "id": "srv_1", "name": "web_search", "input": given}),
    st.just({"type": "web_search_tool_result", "tool_use_id": "srv_1", "content": []}),
)  # fmt: skip


def _parts(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[pb.ContentPart]:
    return st.builds(pb.ContentPart, cache_control=_MARKS, extra_json=_EXTRAS, **fields)


_PICTURES = _parts(image=_IMAGES)
_USER_PARTS = st.one_of(_parts(text=_LETTERS), _PICTURES, _parts(file=_FILES))
_SPOKEN = st.builds(pb.ContentPart, text=_LETTERS, citations=st.lists(_CITATIONS, max_size=2), cache_control=_MARKS)
_CALLS = st.builds(
    pb.ToolCall, id=_NAMES, type=st.just("function"), name=_NAMES, extra_json=_EXTRAS,
    arguments=_OBJECTS.map(lambda given: orjson.dumps(given).decode()),
)  # fmt: skip


@st.composite
def _turns(draw: st.DrawFn) -> list[pb.Message]:
    """An exchange: what the user says, the answers of tools before it; then the assistant."""
    turns = [
        pb.Message(
            role=pb.ROLE_TOOL, tool_call_id=draw(_NAMES), tool_failed=draw(st.booleans()), extra_json=draw(_EXTRAS),
            content=draw(st.lists(st.one_of(_parts(text=_LETTERS), _PICTURES), max_size=2)),
        )
        for _ in range(draw(st.integers(0, 2)))
    ]  # fmt: skip
    if not turns or draw(st.booleans()):
        turns.append(pb.Message(role=pb.ROLE_USER, content=draw(st.lists(_USER_PARTS, min_size=1, max_size=3))))
    parts = [*draw(st.lists(_REASONING, max_size=2)), *draw(st.one_of(st.just([]), _SEARCHES))]
    parts += draw(st.lists(_SPOKEN, min_size=1, max_size=2))
    turns.append(pb.Message(role=pb.ROLE_ASSISTANT, content=parts, tool_calls=draw(st.lists(_CALLS, max_size=2))))
    return turns


_FUNCTIONS = st.builds(
    pb.ToolDefinition, type=st.just("function"), name=_NAMES, description=_LETTERS, parameters_json=_SCHEMAS,
    strict=st.one_of(st.none(), st.booleans()), cache_control=_MARKS, extra_json=_EXTRAS,
)  # fmt: skip
_SERVER_TOOLS = st.builds(
    pb.ToolDefinition, type=st.just("web_search_20250305"), name=st.just("web_search"), cache_control=_MARKS,
    extra_json=_EXTRAS,
)  # fmt: skip
_CHOICES = st.one_of(
    st.sampled_from([pb.TOOL_CHOICE_MODE_AUTO, pb.TOOL_CHOICE_MODE_REQUIRED]).map(
        lambda mode: pb.ToolChoice(mode=mode)
    ),
    _NAMES.map(lambda name: pb.ToolChoice(mode=pb.TOOL_CHOICE_MODE_NAMED, name=name)),
)


@st.composite
def questions(draw: st.DrawFn) -> pb.ChatRequest:
    chat = pb.ChatRequest(dialect="anthropic", model="claude-opus-4-6")
    if system := draw(st.lists(_parts(text=_LETTERS), max_size=2)):
        chat.messages.add(role=pb.ROLE_SYSTEM, content=system)
    for turns in draw(st.lists(_turns(), min_size=1, max_size=3)):
        chat.messages.extend(turns)
    chat.sampling.max_output_tokens = draw(st.integers(1, 128_000))
    for name, values in (("temperature", st.floats(0, 1)), ("top_p", st.floats(0, 1)), ("top_k", _COUNTS)):
        if draw(st.booleans()):
            setattr(chat.sampling, name, draw(values))
    chat.sampling.stop.extend(draw(st.lists(_LETTERS, max_size=2)))
    tools: list[pb.ToolDefinition] = draw(st.lists(st.one_of(_FUNCTIONS, _SERVER_TOOLS), max_size=2))
    chat.tools.extend(tools)
    chosen = draw(st.booleans())
    if tools and chosen:
        chat.tool_choice.CopyFrom(draw(_CHOICES))
        chat.parallel_tool_calls = draw(st.booleans())
    if draw(st.booleans()):
        chat.reasoning_budget_tokens = draw(st.sampled_from([0, 1024, 2048]))
        chat.reasoning_summary = draw(st.sampled_from(["", "auto", "none"])) if chat.reasoning_budget_tokens else ""
    chat.reasoning_effort = draw(st.sampled_from(["", "low", "max"]))
    if draw(st.booleans()):
        chat.response_format.kind = pb.RESPONSE_FORMAT_KIND_JSON_SCHEMA
        chat.response_format.schema_json = draw(_SCHEMAS)
    chat.user = draw(st.one_of(st.just(""), _NAMES))
    chat.service_tier = draw(st.sampled_from(["", "auto", "default"]))
    chat.extra_json = draw(_EXTRAS)
    return chat


_ENDINGS = st.sampled_from(
    [
        (pb.FINISH_REASON_STOP, "", ""),
        (pb.FINISH_REASON_STOP, "stop_sequence", "END"),
        (pb.FINISH_REASON_LENGTH, "", ""),
        (pb.FINISH_REASON_LENGTH, "model_context_window_exceeded", ""),
        (pb.FINISH_REASON_TOOL_CALLS, "", ""),
        (pb.FINISH_REASON_CONTENT_FILTER, "", ""),
        (pb.FINISH_REASON_OTHER, "pause_turn", ""),
    ]
)
_ANSWERED = st.builds(pb.ContentPart, text=_LETTERS, citations=st.lists(_DOCUMENT_CITATIONS, max_size=2))


@st.composite
def answers(draw: st.DrawFn) -> pb.ChatResponse:
    answer = pb.ChatResponse(id=draw(_NAMES), model=draw(_NAMES), dialect="anthropic")
    choice = answer.choices.add()
    choice.finish_reason, choice.native_finish_reason, choice.stop_sequence = draw(_ENDINGS)
    choice.message.role = pb.ROLE_ASSISTANT
    for parts in draw(st.lists(st.one_of(_REASONING.map(lambda p: [p]), _ANSWERED.map(lambda p: [p]), _SEARCHES))):
        choice.message.content.extend(parts)
    for call in draw(st.lists(_CALLS, max_size=3)):
        call.extra_json = b""
        choice.message.tool_calls.append(call)
    usage = answer.usage
    fresh, usage.cached_input_tokens, usage.cache_write_tokens = draw(_COUNTS), draw(_COUNTS), draw(_COUNTS)
    usage.input_tokens = fresh + usage.cached_input_tokens + usage.cache_write_tokens
    usage.cache_write_1h_tokens = draw(st.integers(0, usage.cache_write_tokens))
    usage.output_tokens = draw(_COUNTS)
    usage.reasoning_tokens = draw(st.integers(0, usage.output_tokens))
    usage.service_tier = draw(st.sampled_from(["standard", "priority"]))
    return answer


def pieces(data: st.DataObject, text: Any) -> list[Any]:
    """The text, or the bytes, cut anywhere."""
    places = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=4)))
    return [text[start:end] for start, end in zip([0, *places], [*places, len(text)], strict=True)]
