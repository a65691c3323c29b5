from __future__ import annotations

import logging
import os
import subprocess
import sys

import pytest

from tollway_cli.scheduling import interrupt_nobody

SCRIPT = """
import os, threading
from tollway_cli.scheduling import interrupt_nobody
interrupt_nobody()
import grpc
grpc.aio.init_grpc_aio()
print(sorted({os.sched_getscheduler(int(thread)) for thread in os.listdir("/proc/self/task")}))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the policy is Linux's")
def test_every_thread_of_a_process_that_interrupts_nobody_runs_as_a_batch() -> None:
    told = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True).stdout
    assert told == f"[{os.SCHED_BATCH}]\n"


@pytest.mark.skipif(sys.platform != "linux", reason="the policy is Linux's")
def test_a_kernel_that_will_not_is_no_reason_not_to_serve(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    with caplog.at_level(logging.INFO):
        interrupt_nobody()
    assert "Operation not permitted" in caplog.text
