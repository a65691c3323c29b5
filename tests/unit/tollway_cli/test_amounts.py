from __future__ import annotations

import pytest
from typer.testing import CliRunner

from tollway_cli.amounts import parse_amount
from tollway_cli.main import app


def test_an_amount_is_at_most_what_an_attempt_may_cost() -> None:
    assert parse_amount("$1000000000") == 10**18
    with pytest.raises(ValueError, match=r"'\$1000000000.01' is more than \$1,000,000,000"):
        parse_amount("$1000000000.01")


def test_an_attempt_cannot_be_made_to_cost_more_than_can_be_counted() -> None:
    done = CliRunner().invoke(app, ["adjust", "an-id", "--cost", "99999999999999999999", "--reason", "typo"])
    assert (done.exit_code, done.output) == (
        2,
        "tollway: --cost '99999999999999999999' is more than $1,000,000,000\n",
    )
