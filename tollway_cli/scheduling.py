"""How the kernel is asked to treat a process of several."""

from __future__ import annotations

import logging
import os
import sys

log = logging.getLogger(__name__)


def interrupt_nobody() -> None:
    """Lets this process, when something wakes it, wait for a processor rather than push another process off one.

    For Linux, its share of the processors stays the same (SCHED_BATCH of sched(7)). Threads that are started afterwards
    are treated alike, so this comes before gRPC starts the one in which it waits: docs/adr/0051. Elsewhere, and where
    the kernel will not, nothing changes.
    """
    if sys.platform != "linux":
        return
    try:
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    except OSError as error:  # a sandbox that has no such call
        log.info("this process runs as the kernel's default has it: %s", error)
