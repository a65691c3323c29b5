from __future__ import annotations

import pytest

from mesh.errors import FieldViolation, Reason, TollwayError, invalid
from tollway_cli.asking import channel, metadata, sentence


def test_a_key_is_shown_as_a_bearer_token_and_none_as_nothing() -> None:
    assert metadata(" tw-1\n") == (("authorization", "Bearer tw-1"),)
    assert metadata("") == ()


@pytest.mark.parametrize("key", ["tw 1", "tw-é", "tw-\x01"])
def test_what_cannot_be_a_key_is_declined_and_not_repeated(key: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        metadata(key)
    said = capsys.readouterr().err
    assert said.startswith("tollway: --key (or TOLLWAY_KEY) is no key")
    assert key not in said


@pytest.mark.parametrize("target", ["http://localhost:50051", "localhost", "127.0.0.1:99999", ""])
def test_a_target_that_cannot_be_meant_is_declined(target: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        channel(target, None)
    assert capsys.readouterr().err.startswith("tollway: --connect must be an address such as 127.0.0.1:50051")


def test_who_was_not_known_is_told_how_a_key_is_shown() -> None:
    assert sentence(TollwayError(Reason.UNAUTHENTICATED, "No key.")) == (
        "No key. Here, --key or TOLLWAY_KEY says which."
    )
    assert sentence(TollwayError(Reason.PERMISSION_DENIED, "No.")) == "No."


def test_what_is_wrong_with_a_request_is_told_of_the_arguments_that_it_was_typed_as() -> None:
    assert sentence(invalid("budget.scope", "must be such as key:*")) == "SCOPE must be such as key:*"
    assert sentence(invalid("chunk", "e.csv is empty")) == "the export: e.csv is empty"
    assert sentence(invalid("a_field_of_the_future", "is odd")) == "a_field_of_the_future is odd"
    several = (FieldViolation("chat.model", "name a model"), FieldViolation("tags[1]", "must be short"))
    told = sentence(TollwayError(Reason.INVALID_REQUEST, "", violations=several))
    assert told == "MODEL name a model; --tag must be short"
