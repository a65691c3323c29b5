from __future__ import annotations

import hashlib
import re
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from mesh.config.load import load
from mesh.config.schema import Config
from tollway_cli.configuration import secrets
from tollway_cli.keys import entry, keys_table, new_key
from tollway_cli.main import app

NOW = 1_800_000_000.0
SECRET = "tw-a-secret-of-some-length"


def run(*arguments: str, cwd: Path | None = None, status: int = 0) -> str:
    result = CliRunner().invoke(app, ["keys", *arguments], env={"TOLLWAY_CONFIG": str(cwd / "t.yaml") if cwd else ""})
    assert result.exit_code == status, result.output
    return result.output


def written(name: str = "ci", **options: str) -> dict[str, Any]:
    defaults = {"tenant": "default", "project": "default", "tags": "", "models": "*", "role": "caller", "expires": ""}
    return entry("tw-x", name, **{**defaults, **options}, now=NOW)


def test_a_new_key_is_long_enough_to_be_guessed_by_nobody_and_fit_for_a_header() -> None:
    keys = {new_key() for _ in range(100)}
    assert len(keys) == 100
    assert all(re.fullmatch(r"tw-[A-Za-z0-9_-]{43}", key) for key in keys)


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--tenant", "acme", "--project", "demo", "--tags", "ci, team:search", "--models", "sim,sim/*",
         "--role", "operator", "--expires", "2999-01-31T18:00+01:00"],
    ],
)  # fmt: skip
def test_what_is_printed_can_be_pasted_and_opens_with_the_key(options: list[str], tmp_path: Path) -> None:
    key, _, rest = run("new", "ci", *options).partition("\n")
    assert key not in rest
    path = tmp_path / "tollway.yaml"
    path.write_text(rest[rest.index("keys:") :])
    (made,) = load(path, {}).keys
    assert made.digest == hashlib.sha256(key.encode()).digest()
    shown = (made.name, made.tenant, made.project, made.tags, made.models, made.role)
    if options:
        assert shown == ("ci", "acme", "demo", ("ci", "team:search"), ("sim", "sim/*"), "operator")
        assert made.expires is not None
    else:
        assert shown == ("ci", "default", "default", (), ("*",), "caller")


def test_what_holds_anyway_is_not_written() -> None:
    assert list(written()) == ["name", "key_sha256"]


def test_a_key_expires_at_a_time_or_after_one() -> None:
    assert written(expires="90d")["expires"] == "2027-04-15T08:00:00Z"
    assert written(expires="2027-01-31")["expires"] == "2027-01-31T00:00:00Z"


def test_everything_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(ValueError) as wrong:
        written("a b", tenant="é", tags="x y", models="*a", role="root", expires="soon")
    said = str(wrong.value)
    for place in ("NAME 'a b'", "--tenant 'é'", "--tags 'x y'", "--models '*a'", "--role 'root'", "--expires 'soon'"):
        assert f"{place} m" in said  # must, may
    assert "a duration from now on such as 90d" in said


def test_a_key_for_no_models_or_with_labels_without_end_is_refused() -> None:
    with pytest.raises(ValueError, match="--tags must be at most 16 labels; --models must name at least one"):
        written(tags="a," * 17, models=",")


@pytest.mark.parametrize("expires", ["999999999d", "2027-13-01", "yesterday", "9999-12-31T23:59-14:00"])
def test_a_time_that_there_is_not_is_refused(expires: str) -> None:
    with pytest.raises(ValueError, match=r"must be (a time such as|between 1970 and 9999)"):
        written(expires=expires)


def test_a_wrong_option_ends_the_command_and_no_key_is_made() -> None:
    output = run("new", "ci", "--role", "root", status=2)
    assert "must be one of caller, operator, admin" in output
    assert "tw-" not in output


def test_those_who_have_a_key_are_listed_and_their_keys_are_not(tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_text(
        f"keys:\n  - {{name: ci, key: {SECRET}, models: [sim], tags: [nightly]}}\n"
        f"  - {{name: old, key_sha256: {'ab' * 32}, role: admin, expires: 2020-01-01}}\n"
    )
    output = run("list", cwd=tmp_path)
    assert re.search(r"ci +caller +default +default +sim +nightly +never", output)
    assert re.search(r"old +admin .* 2020-01-01T00:00:00Z \(it has\)", output)
    assert "secret" not in output
    assert "abab" not in output


def test_where_there_are_no_keys_it_is_said_what_that_means(tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_text("")
    assert "only this machine is served" in run("list", cwd=tmp_path)


def test_a_key_that_has_not_expired_yet_is_not_said_to_have() -> None:
    config = Config.model_validate({"keys": [{"name": "ci", "key": SECRET, "expires": "2027-01-15T08:00:01Z"}]})
    console = Console(width=200, record=True, file=StringIO())
    console.print(keys_table(config.keys, NOW))
    assert "2027-01-15T08:00:01Z\n" in console.export_text().replace(" \n", "\n")


def test_the_keys_that_the_configuration_holds_are_kept_out_of_logs() -> None:
    config = Config.model_validate({"keys": [{"name": "a", "key": SECRET}, {"name": "b", "key_sha256": "ab" * 32}]})
    assert secrets(config) == [SECRET]
