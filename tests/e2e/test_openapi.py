"""What /openapi.json says of the edge, held against what the edge does."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.processes import Mesh, one_process

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "allow_header_conformance",
)


@pytest.fixture
def mesh(tmp_path: Path) -> Iterator[Mesh]:
    mesh = one_process(tmp_path)
    try:
        mesh.wait_until_ready()
        yield mesh
    finally:
        mesh.stop()


def test_whatever_is_asked_is_answered_as_the_document_says_and_never_with_a_500(mesh: Mesh, tmp_path: Path) -> None:
    """The same questions each time: those at the edges of what the document allows, good and bad, and a few that are
    made up. Which processes are behind the edge makes no difference to it."""
    options = {
        "--phases": "coverage,fuzzing",
        "--max-examples": "2",
        "--seed": "1",
        "--checks": ",".join(CHECKS),
        "--suppress-health-check": "all",
        "--generation-database": "none",
        "--request-timeout": "10",
    }
    command = [str(Path(sys.executable).with_name("schemathesis")), "run", f"{mesh.http}/openapi.json"]
    command += [word for option in options.items() for word in option]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
