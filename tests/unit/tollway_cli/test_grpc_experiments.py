from __future__ import annotations

import os
import subprocess
import sys

SCRIPT = "import tollway_cli.main, grpc, os; print(os.environ['GRPC_EXPERIMENTS'])"


def start(**environ: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name != "GRPC_EXPERIMENTS"}
    return subprocess.run(
        [sys.executable, "-c", SCRIPT], env={**kept, **environ}, capture_output=True, text=True, check=True
    )


def test_grpc_still_knows_the_experiments_that_are_switched_off() -> None:
    started = start()
    assert started.stdout.split() == ["-event_engine_client,-event_engine_listener"]
    assert "Unknown experiment" not in started.stderr


def test_grpc_would_complain_of_an_experiment_it_does_not_know() -> None:
    assert "Unknown experiment" in start(GRPC_EXPERIMENTS="-no_such_thing").stderr


def test_experiments_of_the_environment_stand() -> None:
    assert start(GRPC_EXPERIMENTS="-event_engine_client").stdout.split() == ["-event_engine_client"]
