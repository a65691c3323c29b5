"""Runs the official SDKs' own API suites against `tollway up`: `python -m tests.sdk_suites.run [cache] [package …]`.

The source distributions of the installed versions are fetched once, by pip, from wherever it is configured to look, and
kept in the cache. Whatever each suite's own options are, it is run in one process and reads no configuration but ours.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
from importlib.metadata import version
from pathlib import Path

from tests.e2e.processes import clean_environment, one_process
from tests.sdk_suites.suites import SUITES, Suite

_HERE = Path(__file__).parent
_CACHE = _HERE.parents[1] / ".sdk-suites"


def main(arguments: list[str]) -> int:
    cache = Path(arguments[0]).resolve() if arguments else _CACHE
    wanted = arguments[1:] or [suite.package for suite in SUITES]
    suites = [suite for suite in SUITES if suite.package in wanted]
    folders = [source_of(suite.package, cache) for suite in suites]
    with tempfile.TemporaryDirectory() as data:
        mesh = one_process(Path(data), _HERE / "tollway.yaml")
        try:
            mesh.wait_until_ready()
            results = [run(suite, folder, mesh.http) for suite, folder in zip(suites, folders, strict=True)]
        finally:
            mesh.stop()
    return max(results, default=0)


def source_of(package: str, cache: Path) -> Path:
    """The unpacked source distribution of the version that is installed here."""
    name = f"{package}-{version(package)}"
    folder = cache / name
    if not folder.exists():
        cache.mkdir(parents=True, exist_ok=True)
        if not (cache / f"{name}.tar.gz").exists():
            download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", package]
            subprocess.run([*download, "--dest", str(cache), f"{package}=={version(package)}"], check=True)
        with tarfile.open(cache / f"{name}.tar.gz") as archive:
            archive.extractall(cache, filter="data")
    return folder


def run(suite: Suite, folder: Path, address: str) -> int:
    """The exit status of the suite's tests."""
    environment = clean_environment(
        TEST_API_BASE_URL=address + suite.base,
        TOLLWAY_SDK_SUITE=suite.package,
        PYTHONPATH=os.pathsep.join((str(folder), str(_HERE))),
    )
    modules = [f"tests/{module}" for module in suite.modules]
    # Warnings of libraries that the suite does not know are no failures of its tests.
    options = ["-o", "addopts=", "-o", "filterwarnings=", "-p", "no:valkey", "-p", "supplement", "-q", "--tb=short"]
    print(f"{folder.name}: {', '.join(modules)}", flush=True)
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options, *modules], cwd=folder, env=environment, check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
