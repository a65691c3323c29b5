"""Clients out of npm packages: `npm/<client>/` has the packages, locked, and a script that talks and prints JSON."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parent / "npm"
LIMIT = 120.0


def talk(client: str, *arguments: str) -> Any:
    """What the client's script prints. Skips the test where there is no node."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("node and npm are not installed")
    folder = _installed(client, npm)
    script = folder / "talk.mjs"
    shutil.copy(FOLDER / client / "talk.mjs", script)  # it may have changed since
    done = subprocess.run([node, script, *arguments], capture_output=True, text=True, timeout=LIMIT, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _installed(client: str, npm: str) -> Path:
    """Where the client's packages are: a folder that stays for as long as the lock does, outside of the sources."""
    lock = (FOLDER / client / "package-lock.json").read_bytes()
    folder = Path(tempfile.gettempdir()) / f"tollway-npm-{client}-{hashlib.sha256(lock).hexdigest()[:16]}"
    if (folder / "whole").exists():
        return folder
    folder.mkdir(exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(FOLDER / client / name, folder / name)
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert done.returncode == 0, done.stderr
    (folder / "whole").touch()
    return folder
