"""`tollway keys`: making one, and seeing who has one."""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from secrets import token_urlsafe
from typing import Any, get_args

import yaml
from rich.table import Table

from mesh.config.names import problem_of_account, problem_of_model, problem_of_tag
from mesh.config.schema import MOST_TAGS, Key
from mesh.config.values import format_moment, parse_duration
from tollway_cli.configuration import load_or_refuse
from tollway_cli.refusal import refuse
from tollway_cli.terminal import console
from tollway_cli.times import parse_date

PREFIX = "tw-"
"""What every key made here begins with, so that it is known for one wherever it turns up."""

_RANDOM_BYTES = 32
_ROLES: tuple[str, ...] = get_args(Key.model_fields["role"].annotation)
_DEFAULTS = {"tenant": "default", "project": "default", "tags": [], "models": ["*"], "role": "caller", "expires": None}
_LINE = 200


def new_key() -> str:
    """A key that nobody has yet."""
    return PREFIX + token_urlsafe(_RANDOM_BYTES)


def entry(
    key: str, name: str, *, tenant: str, project: str, tags: str, models: str, role: str, expires: str, now: float
) -> dict[str, Any]:
    """What stands under `keys` for that key; lists are given with commas, defaults are left out.

    Raises ValueError with everything that is wrong.
    """
    written: dict[str, Any] = {
        "name": name,
        "key_sha256": hashlib.sha256(key.encode()).hexdigest(),
        "tenant": tenant,
        "project": project,
        "tags": _items(tags),
        "models": _items(models),
        "role": role,
        "expires": _expiry(expires, now) if expires else None,
    }
    if problems := list(_problems(written)):
        raise ValueError("; ".join(problems))
    return {field: value for field, value in written.items() if value != _DEFAULTS.get(field)}


def _expiry(text: str, now: float) -> str:
    """The time that `90d` from now, or a time as configurations have it, stands for. What it cannot read, it leaves."""
    try:
        return format_moment(now + parse_duration(text))
    except (ValueError, OverflowError):
        pass
    try:
        return format_moment(parse_date(text))
    except ValueError:
        return text


def _problems(written: dict[str, Any]) -> Iterator[str]:
    checks: list[tuple[str, str, Callable[[str], str | None]]] = [("NAME", written["name"], problem_of_account)]
    checks += [(f"--{field}", written[field], problem_of_account) for field in ("tenant", "project")]
    checks += [("--tags", tag, problem_of_tag) for tag in written["tags"]]
    checks += [("--models", model, problem_of_model) for model in written["models"]]
    for place, value, problem_of in checks:
        if problem := problem_of(value):
            yield f"{place} {value!r} {problem}"
    if len(written["tags"]) > MOST_TAGS:
        yield f"--tags must be at most {MOST_TAGS} labels"
    if not written["models"]:
        yield "--models must name at least one, or * for all"
    if written["role"] not in _ROLES:
        yield f"--role {written['role']!r} must be one of {', '.join(_ROLES)}"
    if written["expires"] is not None:
        try:
            parse_date(written["expires"])
        except ValueError as error:
            yield f"--expires {written['expires']!r} {error}, or a duration from now on such as 90d"


def _items(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


def told(key: str, written: dict[str, Any]) -> str:
    """What is said of a new key, once."""
    lines = yaml.safe_dump([written], sort_keys=False, default_flow_style=None, width=_LINE).splitlines()
    return "\n".join(
        [
            key,
            "",
            "This is the key. It is kept nowhere, and cannot be shown again; tollway.yaml knows it by its SHA-256:",
            "",
            "keys:",
            *(f"  {line}" for line in lines),
            "",
        ]
    )


def run_new(name: str, *, tenant: str, project: str, tags: str, models: str, role: str, expires: str) -> None:
    """Prints a new key, and the entry for it."""
    key = new_key()
    options = {"tenant": tenant, "project": project, "tags": tags, "models": models, "role": role, "expires": expires}
    try:
        written = entry(key, name, **options, now=time.time())
    except ValueError as error:
        refuse(str(error))
    sys.stdout.write(told(key, written))


def keys_table(keys: Sequence[Key], now: float) -> Table:
    """Who has a key, one a row; never the key."""
    table = Table(box=None, header_style="bold")
    for name in ("name", "role", "tenant", "project", "models", "tags", "expires"):
        table.add_column(name, overflow="fold")
    for key in keys:
        cells = (key.name, key.role, key.tenant, key.project, ", ".join(key.models), ", ".join(key.tags))
        table.add_row(*cells, _expires(key, now))
    return table


def _expires(key: Key, now: float) -> str:
    if key.expires is None:
        return "never"
    return format_moment(key.expires) + (" (it has)" if key.expires <= now else "")


def run_list(config: Path | None) -> None:
    """Prints who has a key."""
    keys = load_or_refuse(config).keys
    if keys:
        console().print(keys_table(keys, time.time()))
    else:
        sys.stdout.write(
            "There are none: only this machine is served, and everyone on it may do everything. "
            "`tollway keys new NAME` makes one.\n"
        )
