"""`llm`, the command-line client."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import yaml

from tests.e2e.processes import Mesh, clean_environment


def test_llm_chats_through_the_gateway(mesh: Mesh, tmp_path: Path) -> None:
    model = {"model_id": "echo", "model_name": "sim/echo", "api_base": mesh.base_url, "can_stream": True}
    (tmp_path / "extra-openai-models.yaml").write_text(yaml.safe_dump([model]))
    environment = clean_environment(LLM_USER_PATH=str(tmp_path), LLM_OPENAI_KEY="none")

    def llm(*arguments: str) -> str:
        command = [sys.executable, "-m", "llm", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    assert llm("-m", "echo", "--key", "none", "Hello there") == "Hello there"
    assert llm("-m", "echo", "--key", "none", "--no-stream", "Hello there") == "Hello there"
    assert llm("-m", "echo", "--key", "none", "--continue", "And again") == "And again"
