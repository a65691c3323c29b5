"""docs/configuration.md says what is so: every key, every default, and examples that load."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from mesh.config.load import load
from mesh.config.outline import _is_section, _structure, fields_of
from mesh.config.schema import (
    BudgetEntry,
    CacheOptIn,
    Config,
    Defaults,
    Deployment,
    Drain,
    Key,
    LargePromptRates,
    Limit,
    Model,
    PriceEntry,
    PriceTerms,
    Rates,
    Rule,
    RuleAction,
    RuleParameters,
    RuleTokens,
    Section,
    ServiceTierRates,
    Tls,
)
from mesh.telemetry.instruments import INSTRUMENTS
from tollway_cli.configuration import known_providers

PAGE = (Path(__file__).parents[4] / "docs" / "configuration.md").read_text()
EXAMPLES = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
ENVIRON = dict.fromkeys(re.findall(r"\$\{([A-Z_]+)\}", PAGE), "k-0123456789abcdef")
TABLES = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("|")]
ROWS = {key.strip("`"): default for key, _, default, _ in (row for row in TABLES if len(row) == 4) if "`" in key}

REQUIRED: dict[type[Section], dict[str, Any]] = {
    BudgetEntry: {"scope": "key:*", "limit": "$1"},
    CacheOptIn: {"ttl": "1s"},
    Deployment: {"provider": "p"},
    Drain: {"drain": "1s"},
    LargePromptRates: {"input": "1", "output": "1", "tokens": 1},
    Key: {"name": "n", "key": "k-0123456789abcdef"},
    Limit: {"scope": "key:*", "requests": "1/s"},
    Model: {"deployments": [{"provider": "p"}]},
    PriceEntry: {"provider": "p", "input": "1", "output": "1"},
    Rule: {"name": "r", "then": {"deny": "no"}},
    RuleAction: {"deny": "no"},
    RuleParameters: {"temperature": 0},
    RuleTokens: {"over": 1},
    ServiceTierRates: {"input": "1", "output": "1"},
    Tls: {"cert": "c", "key": "k"},
}
INHERITED = {"timeouts", "breaker", "hedge"}
"""Sections that stand below `defaults` and may stand below models and deployments, too."""
AS_IN_PRICES = {*Rates.model_fields, "above"}
"""Keys that the page tells of once, for `prices[]`: what is below them has the same ones."""


def fields(section: type[Section], prefix: str = "") -> Iterator[tuple[str, type[Section], str, FieldInfo]]:
    """Every key of the schema as the page writes it, with its section."""
    for name, field in fields_of(section).items():
        if section in (LargePromptRates, ServiceTierRates) and name in AS_IN_PRICES:
            continue
        path = f"{prefix}{name}"
        yield path, section, name, field
        kind = _structure(field.annotation)
        if get_origin(kind) is dict and _is_section(_structure(get_args(kind)[1])):
            yield from fields(get_args(kind)[1], f"{path}.*.")
        elif get_origin(kind) is tuple and _is_section(_structure(get_args(kind)[0])):
            yield from fields(get_args(kind)[0], f"{path}[].")
        elif _is_section(kind) and kind is not PriceTerms and (name not in INHERITED or section is Defaults):
            yield from fields(kind, f"{path}.")


KEYS = {path: (section, name, field) for path, section, name, field in fields(Config)}
SECTIONS = set(Config.model_fields)
STANDS_FOR_ITS_KEYS = SECTIONS | {
    "providers.*.credentials",
    "providers.*.sim",
    "defaults.timeouts",
    "defaults.breaker",
    "rules[].when",
}


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_every_example_loads(number: int, tmp_path: Path) -> None:
    path = tmp_path / "tollway.yaml"
    path.write_text(EXAMPLES[number])
    assert load(path, ENVIRON, known_providers()) != Config()


def test_there_are_examples_of_every_key() -> None:
    written = "\n".join(EXAMPLES)
    assert [path for path, (_, name, _) in KEYS.items() if not re.search(rf"\b{name}:", written)] == []


def test_every_key_has_a_row_and_every_row_is_a_key() -> None:
    assert set(ROWS) == set(KEYS) - STANDS_FOR_ITS_KEYS


@pytest.mark.parametrize("path", sorted(set(ROWS) & set(KEYS)))
def test_the_default_on_the_page_is_the_default(path: str) -> None:
    section, name, field = KEYS[path]
    written = re.fullmatch(r"`(.*)`", ROWS[path])
    if written is None:
        default = field.get_default(call_default_factory=True)
        shown = default.get_secret_value() if isinstance(default, SecretStr) else default
        assert ROWS[path] == ""
        assert field.is_required() or shown in (None, "")
        return
    required = REQUIRED.get(section, {})
    lists = {"[]": [], "{}": {}, '["*"]': ["*"], "[50, 80, 100]": [50, 80, 100]}
    text: Any = lists.get(written[1], written[1].strip('"'))
    assert section.model_validate({**required, name: text}) == section.model_validate(required)


def test_the_messages_on_the_page_are_the_ones_that_are_said(tmp_path: Path) -> None:
    block = re.search(r"```text\n(.*?)```", PAGE, re.DOTALL)
    assert block is not None
    path = tmp_path / "tollway.yaml"
    path.write_text(
        "providers:\n  openai:\n    api_kee: x\nmodels:\n  gpt-4o:\n    deployments:\n      - {provider: opnai}\n"
    )
    with pytest.raises(Exception, match="unknown key") as caught:
        load(path, {"TOLLWAY_HTTP__LISTEN": "8080"})
    assert str(caught.value).replace(f"{tmp_path}/", "") == block[1].strip()


def test_the_instruments_are_all_there() -> None:
    listed = [row for row in TABLES if row[0].strip("`") in INSTRUMENTS]
    assert listed == [[f"`{it.name}`", it.unit, it.description] for it in INSTRUMENTS.values()]
