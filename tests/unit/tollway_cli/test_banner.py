from __future__ import annotations

import json
import shlex

from tollway_cli.banner import Served, render


def served(**changes: object) -> Served:
    fields: dict[str, object] = {
        "version": "1.2.3", "http": "http://127.0.0.1:8080", "grpc": "127.0.0.1:50051", "data_dir": ".tollway",
        "models": ("sim/*", "sim"), "traces": "",
    }  # fmt: skip
    return Served(**(fields | changes))  # type: ignore[arg-type]  # a test's shorthand


def test_the_banner_says_where_everything_is() -> None:
    text = render(served(traces="http://collector:4317"))
    for part in ("http://127.0.0.1:8080/v1", "127.0.0.1:50051", "sim/*, sim", ".tollway", "http://collector:4317"):
        assert part in text
    assert "tollway spend --data-dir .tollway" in text


def test_the_line_to_paste_is_a_command_with_a_json_body_for_a_model_that_answers() -> None:
    pasted = render(served()).split("Try it:")[1]
    command = shlex.split(pasted)
    assert command[:2] == ["curl", "http://127.0.0.1:8080/v1/chat/completions"]
    assert json.loads(command[-1])["model"] == "sim"


def test_names_with_spaces_and_quotes_are_pasted_as_they_are() -> None:
    text = render(served(data_dir="/srv/my data", models=("anne's model",)))
    assert "tollway spend --data-dir '/srv/my data'" in text
    assert json.loads(shlex.split(text.split("Try it:")[1])[-1])["model"] == "anne's model"


def test_without_tracing_the_banner_says_how_to_turn_it_on() -> None:
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in render(served())


def test_with_keys_the_banner_names_them_and_the_line_to_paste_shows_one() -> None:
    text = render(served(keys=("ci", "ops")))
    assert "keys    ci, ops" in text
    assert "authorization: Bearer $TOLLWAY_KEY" in shlex.split(text.split("Try it:")[1])
    assert "authorization" not in render(served())


def test_workers_are_mentioned_where_there_are_several() -> None:
    assert "workers 4" in render(served(workers=4))
    assert "workers" not in render(served())
