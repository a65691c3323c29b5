from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from tollway.chat.v1 import chat_pb2
from tollway.router.v1 import router_pb2
from tollway_cli.explain import Asked, explain_request, explanation_view
from tollway_cli.main import app

CONFIG = """
providers: {a: {dialect: sim}, b: {dialect: sim}}
models:
  gpt: {deployments: [{provider: a, model: m}, {provider: b, model: m, can: [tools], context: 1000}]}
  other: {deployments: [{provider: b, model: n}]}
rules:
  - {name: acme, when: {tenant: acme}, then: {choose: b}}
  - {name: nobody, when: {tags: nobody}, then: {exclude: "*"}}
  - {name: night, when: {key: local, tags: batch}, then: {deny: Come back at night.}}
"""


def asked(**fields: object) -> Asked:
    values = {"models": ["gpt"], "message": "Hello!", "tokens": 0, "tools": False, "vision": False,
              "json_schema": False, "session": "", "tags": [], "key": "", "project": "", "tenant": ""}  # fmt: skip
    return Asked(**{**values, **fields})  # type: ignore[arg-type]


def explained(tmp_path: Path, *arguments: str, config: str = CONFIG) -> tuple[int, str]:
    path = tmp_path / "tollway.yaml"
    path.write_text(config)
    result = CliRunner().invoke(app, ["explain", "--config", str(path), *arguments])
    return result.exit_code, result.output


def test_options_describe_the_question() -> None:
    request = explain_request(
        asked(models=["gpt", "other"], tokens=10, tools=True, vision=True, json_schema=True, session="s", tags=["ci"])
    )
    assert (request.chat.model, list(request.preferences.models), request.preferences.session) == (
        "gpt",
        ["other"],
        "s",
    )
    text, picture = request.chat.messages[0].content
    assert (text.text.strip(), len(text.text), picture.WhichOneof("part")) == ("Hello!", 40, "image")
    assert len(request.chat.tools) == 1
    assert request.chat.response_format.kind == chat_pb2.RESPONSE_FORMAT_KIND_JSON_SCHEMA
    assert (list(request.tags), request.streamed) == (["ci"], True)


def test_the_configuration_alone_can_explain_and_nothing_is_written(tmp_path: Path) -> None:
    code, text = explained(tmp_path, "gpt", "other", "--vision", "--json")
    told = json.loads(text)
    assert code == 0
    assert [(each["deployment"], each["stands_for"]) for each in told["candidates"]] == [
        ("a/m", "gpt"),
        ("b/n", "other"),
    ]
    assert told["skipped"] == [{"deployment": "b/m", "stands_for": "gpt", "reason": "cannot do vision"}]
    assert (told["needs"], told["rules"][0]) == (
        ["vision"], {"name": "acme", "matched": False, "effect": None, "error": None},
    )  # fmt: skip
    assert [path.name for path in tmp_path.iterdir()] == ["tollway.yaml"]


def test_whose_question_it_is_can_be_said(tmp_path: Path) -> None:
    _, text = explained(tmp_path, "gpt", "--tenant", "acme", "--json")
    assert [each["deployment"] for each in json.loads(text)["candidates"]] == ["b/m"]
    _, text = explained(tmp_path, "gpt", "--tag", "batch", "--as-key", "ci", "--json")
    assert json.loads(text)["refusal"] is None


WITH_KEYS = (
    CONFIG.replace("key: local", "key: web")
    + """
keys:
  - {name: ci, key: tw-0123456789abcdef, tenant: acme, tags: [nobody], models: [gpt]}
  - {name: web, key: tw-fedcba9876543210}
"""
)


def test_a_configured_key_brings_its_own_account_labels_and_models(tmp_path: Path) -> None:
    _, text = explained(tmp_path, "gpt", "--as-key", "ci", "--json", config=WITH_KEYS)
    assert [rule["name"] for rule in json.loads(text)["rules"] if rule["matched"]] == ["acme", "nobody"]
    _, text = explained(tmp_path, "gpt", "--as-key", "ci", "--tenant", "other", "--json", config=WITH_KEYS)
    assert [rule["name"] for rule in json.loads(text)["rules"] if rule["matched"]] == ["nobody"]
    code, text = explained(tmp_path, "other", "--as-key", "ci", config=WITH_KEYS)
    assert (code, "The key ci may not ask for the model 'other'." in text) == (2, True)
    code, text = explained(tmp_path, "gpt", "--as-key", "cli", config=WITH_KEYS)
    assert (code, "no key is called cli; there are ci, web." in text) == (2, True)


def test_people_read_a_table(tmp_path: Path) -> None:
    code, text = explained(tmp_path, "gpt", "--tokens", "9000", "--tag", "ci")
    assert code == 0
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert lines[0] == "gpt → models.gpt, ordered; about 9,000 tokens, needs nothing in particular"
    assert "1 a/m gpt the only one" in lines
    assert "– b/m gpt its window of 1,000 tokens is too small" in lines
    assert "· acme did not match" in lines


@pytest.mark.parametrize(
    ("tag", "line"),
    [("batch", "Refused: Come back at night."),
     ("nobody", "Refused: The rule 'nobody' excludes *, and nobody who could answer is left.")],
)  # fmt: skip
def test_a_refusal_is_told_and_no_failure(tmp_path: Path, tag: str, line: str) -> None:
    code, text = explained(tmp_path, "gpt", "--tag", tag)
    assert code == 0
    assert line in text


def test_a_rule_that_matched_and_failed_does_not_look_like_one_that_did_not_match() -> None:
    rules = [
        router_pb2.RuleReport(name="good", matched=True, effect="chooses a"),
        router_pb2.RuleReport(name="bad", matched=True, effect="chooses b", error="chooses b, and nobody is left"),
        router_pb2.RuleReport(name="other"),
    ]
    console = Console(width=120, file=(out := io.StringIO()))
    console.print(explanation_view("gpt", router_pb2.ExplainRouteResponse(rules=rules)))
    lines = [" ".join(line.split()) for line in out.getvalue().splitlines()]
    good, bad, other = lines[-3:]
    assert (good, other) == ("✓ good chooses a", "· other did not match")
    assert bad == "! bad matched, but chooses b, and nobody is left"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["nope"], "The model 'nope' does not exist here."),
        (["gpt", "nope"], "The model 'nope' does not exist here."),
        ([""], "MODEL must be a name."),
        (
            ["gpt", "--as-key", "ci", "--connect", "127.0.0.1:1"],
            "--as-key, --project and --tenant are for the configuration",
        ),
    ],
)
def test_what_cannot_be_explained_is_told_in_a_sentence(tmp_path: Path, arguments: list[str], complaint: str) -> None:
    code, text = explained(tmp_path, *arguments)
    assert code == 2
    assert complaint in text


def test_the_configuration_knows_its_own_prices_and_the_catalogues(tmp_path: Path) -> None:
    config = """
    providers: {openai: {markup: 100%}, own: {base_url: "http://127.0.0.1:1/v1"}, other: {base_url: "http://127.0.0.1:2/v1"}}
    models:
      cheapest:
        strategy: cost
        deployments:
          - {provider: other, model: nobodys}
          - {provider: own, model: dear, price: {input: 1000, output: 1000}}
          - {provider: openai, model: gpt-4o-mini}
    """
    code, text = explained(tmp_path, "cheapest", "--json", config=config)
    assert code == 0
    told = [(each["deployment"], each["reason"]) for each in json.loads(text)["candidates"]]
    assert [deployment for deployment, _ in told] == ["openai/gpt-4o-mini", "own/dear", "other/nobodys"]
    assert told[0][1].startswith("about $0.000")
    assert told[2][1] == "no price is known"
