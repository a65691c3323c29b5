from __future__ import annotations

import pytest

from mesh.errors import Reason, TollwayError
from tollway_cli.asking import metadata, sentence


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


def test_who_was_not_known_is_told_how_a_key_is_shown() -> None:
    assert sentence(TollwayError(Reason.UNAUTHENTICATED, "No key.")) == (
        "No key. Here, --key or TOLLWAY_KEY says which."
    )
    assert sentence(TollwayError(Reason.PERMISSION_DENIED, "No.")) == "No."
