"""What is kept out of logs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.telemetry.redaction import MASK, MOST_LEARNED, learn, redactor

SECRETS = st.text(st.characters(codec="ascii", categories=["L", "N", "P", "S"]), min_size=6, max_size=20)


@pytest.mark.parametrize(
    "name",
    ["authorization", "Authorization", "api_key", "apiKey", "x-api-key", "openai_api_key", "password", "client_secret",
     "access_token", "Set-Cookie", "cookie"],
)  # fmt: skip
def test_a_field_with_a_telling_name_is_masked_wherever_it_is(name: str) -> None:
    assert redactor()({"a": [{name: "x"}], "b": ({name: 5},)}) == {"a": [{name: MASK}], "b": [{name: MASK}]}


@pytest.mark.parametrize(
    "name", ["tokens", "input_tokens", "api_key_id", "key", "cookies_seen", "model", "max_tokens", "secretary"]
)
def test_a_field_that_only_sounds_alike_is_kept(name: str) -> None:
    assert redactor()({name: "value"}) == {name: "value"}


def test_a_field_with_nothing_in_it_is_kept_as_it_is() -> None:
    assert redactor()({"api_key": "", "password": None}) == {"api_key": "", "password": None}


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("Bearer abc.def-1", "Bearer [redacted]"),
        ("authorization: Bearer abc", "authorization: Bearer [redacted]"),
        ("Authorization: abc", "Authorization: [redacted]"),
        ("got api_key=abc, then", "got api_key=[redacted], then"),
        ('{"api_key": "abc"}', '{"api_key": "[redacted]"}'),
        ("Incorrect API key provided: sk-proj-abcdefghijkl", "Incorrect API key provided: [redacted]"),
        ("sk-abcdefghijklmnop.", "[redacted]."),
        ("who has tw-abcdef_hijkl-nop?", "who has [redacted]?"),
        ("redis://u:p@h:6379/0", "redis://[redacted]@h:6379/0"),
        ("redis://:p@h", "redis://[redacted]@h"),
        ("http://host:80/a@b", "http://host:80/a@b"),
        ("task-force-one-two-three is fine", "task-force-one-two-three is fine"),
        ("1234 tokens: 7", "1234 tokens: 7"),
    ],
)
def test_a_text_that_looks_like_a_credential_is_masked(text: str, safe: str) -> None:
    assert redactor()(text) == safe


@given(SECRETS, st.text(), st.text())
def test_a_known_secret_never_shows(secret: str, before: str, after: str) -> None:
    redact = redactor([secret])
    # The mask itself is the one place where the letters of a secret may stand.
    assert secret not in redact(before + secret + after).replace(MASK, "")
    assert redact({"x": [secret.encode()]}) == {"x": [MASK]}


def test_the_longest_of_two_secrets_is_masked_whole() -> None:
    assert redactor(["abcdef", "abcdef-ghijkl"])("is abcdef-ghijkl") == "is [redacted]"


def test_a_very_short_secret_is_not_looked_for() -> None:
    assert redactor(["a"])("a banana") == "a banana"


def test_other_things_are_kept_or_become_text() -> None:
    assert redactor()([1, 2.5, True, None, {3}, ValueError("api_key=x")]) == [
        1,
        2.5,
        True,
        None,
        [3],
        "api_key=[redacted]",
    ]


def test_a_secret_that_becomes_known_later_is_looked_for_from_then_on() -> None:
    redact = redactor(["known-before"])
    assert redact("opaque_token_1 known-before") == f"opaque_token_1 {MASK}"
    learn("opaque_token_1")
    assert redact("opaque_token_1 known-before") == f"{MASK} {MASK}"
    assert redactor()("opaque_token_1") == MASK


def test_the_latest_secrets_that_became_known_are_remembered() -> None:
    for number in range(MOST_LEARNED + 1):
        learn(f"learned_{number:04}")
    redact = redactor()
    assert redact("learned_0000 learned_0001") == f"learned_0000 {MASK}"


def test_a_secret_is_found_as_it_stands_in_a_url() -> None:
    assert redactor(["a+b/c=d"])("?key=a%2Bb%2Fc%3Dd&k=a%2Bb/c%3Dd a+b/c=d") == f"?key={MASK}&k={MASK} {MASK}"
