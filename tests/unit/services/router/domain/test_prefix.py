"""field.md 72: affinity by the beginning of the conversation, message by message."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.router.domain.prefix import prefix_of
from tollway.chat.v1.chat_pb2 import ChatRequest, ContentPart, ImagePart, Message, Role, ToolDefinition

TEXTS = st.text(max_size=20)
OPENING = [Role.ROLE_SYSTEM, Role.ROLE_DEVELOPER]


def message(role: Role.ValueType, *texts: str, extra: bytes = b"") -> Message:
    return Message(role=role, content=[ContentPart(text=text, extra_json=extra) for text in texts])


@given(
    st.lists(st.tuples(st.sampled_from(OPENING), TEXTS), max_size=3),
    TEXTS,
    st.lists(st.tuples(st.sampled_from([Role.ROLE_ASSISTANT, Role.ROLE_USER, Role.ROLE_TOOL]), TEXTS), max_size=6),
)
def test_a_conversation_keeps_its_prefix_while_it_grows(
    opening: list[tuple[Role.ValueType, str]], first: str, rest: list[tuple[Role.ValueType, str]]
) -> None:
    messages = [message(role, text) for role, text in (*opening, (Role.ROLE_USER, first))]
    before = prefix_of(ChatRequest(messages=messages))
    grown = [*messages, *(message(role, text) for role, text in rest)]
    assert prefix_of(ChatRequest(model="other", messages=grown)) == before


def test_other_instructions_tools_or_first_words_are_another_conversation() -> None:
    system, user = message(Role.ROLE_SYSTEM, "Be kind."), message(Role.ROLE_USER, "Hi")
    variants = [
        ChatRequest(messages=[system, user]),
        ChatRequest(messages=[message(Role.ROLE_DEVELOPER, "Be kind."), user]),
        ChatRequest(messages=[message(Role.ROLE_SYSTEM, "Be brief."), user]),
        ChatRequest(messages=[user]),
        ChatRequest(messages=[system, message(Role.ROLE_USER, "Hello")]),
        ChatRequest(messages=[system, message(Role.ROLE_USER, "H", "i")]),
        ChatRequest(messages=[system, user], tools=[ToolDefinition(name="f")]),
        ChatRequest(messages=[system, user], tools=[ToolDefinition(name="f", description="g")]),
        ChatRequest(messages=[system, user], tools=[ToolDefinition(name="f", parameters_json=b"{}")]),
        ChatRequest(messages=[system, Message(role=Role.ROLE_USER, content=[ContentPart(image=ImagePart(url="Hi"))])]),
    ]
    assert len({prefix_of(variant) for variant in variants}) == len(variants)


def test_marks_that_move_as_the_conversation_goes_on_do_not_count() -> None:
    marked = message(Role.ROLE_USER, "Hi", extra=b'{"cache_control":{"type":"ephemeral"}}')
    assert prefix_of(ChatRequest(messages=[marked])) == prefix_of(ChatRequest(messages=[message(Role.ROLE_USER, "Hi")]))
