from __future__ import annotations

import pytest
from typer.testing import CliRunner

from tollway_cli.main import app


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--ttft", "x"], "--ttft must be a duration such as 250ms, 10s or 5m"),
        (["--tokens", "100001"], "--tokens must be at most 100000"),
        (["--rate", "1e9", "--tokens", "1000000"], "--rate must be at most 1000000; --tokens must be at most 100000"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused_in_our_words(arguments: list[str], said: str) -> None:
    result = CliRunner().invoke(app, ["sim", *arguments])
    assert (result.exit_code, result.output) == (2, f"tollway: {said}\n")
