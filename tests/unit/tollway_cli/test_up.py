from __future__ import annotations

from pathlib import Path

import pytest

from tollway_cli.up import run_up


def test_one_address_for_http_and_grpc_is_declined_by_the_options_that_change_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run_up(None, tmp_path, 9000, 9000, 1)
    said = capsys.readouterr().err
    assert "127.0.0.1:9000 is both of theirs: change --port or --grpc-port" in said
    assert not list(tmp_path.iterdir())
