from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway_http.listening import check_address
from mesh.listening import CannotListen, refuse_exposed
from tollway_cli.main import app

CONFIG = """
providers: {a: {dialect: sim}, b: {dialect: sim}}
models:
  gpt: {deployments: [{provider: a, model: m}, {provider: b, model: n}], fallbacks: [other]}
  other: {deployments: [{provider: b}]}
rules: [{name: no poems, when: {tags: poem}, then: {deny: no poems here}}]
keys: [{name: ci, key: tw-0123456789abcdef}, {name: ops, key: tw-fedcba9876543210, role: operator}]
limits: [{scope: "key:*", requests: 1/s}, {scope: "key:ci", tokens: 1/s}]
state: {url: "redis://user:a-password@127.0.0.1:6379/0", when_lost: deny}
"""


def checked(folder: Path, text: str) -> tuple[int, str]:
    path = folder / "tollway.yaml"
    path.write_text(text)
    result = CliRunner().invoke(app, ["check", "--config", str(path)])
    return result.exit_code, result.output


def test_what_a_configuration_amounts_to_is_told_without_its_secrets(tmp_path: Path) -> None:
    code, text = checked(tmp_path, CONFIG)
    assert code == 0
    assert text.splitlines() == [
        f"{tmp_path}/tollway.yaml is fine.",
        "",
        "  providers  a, b",
        "  model      gpt → a/m, b/n, other",
        "  model      other → b/*",
        "  keys       ci (caller), ops (operator)",
        "  rules      no poems",
        "  limits     key:*, key:ci",
        "  state      in Redis; when it is lost: deny",
        "  http       127.0.0.1:8080",
        "  grpc       127.0.0.1:50051",
    ]


def test_what_is_not_there_is_not_told(tmp_path: Path) -> None:
    code, text = checked(tmp_path, "providers: {sim: {dialect: sim}}\nmodels: {gpt: {deployments: [{provider: sim}]}}")
    assert code == 0
    assert {line.split()[0] for line in text.splitlines()[2:]} == {"providers", "model", "http", "grpc"}


def test_every_problem_is_told(tmp_path: Path) -> None:
    code, text = checked(tmp_path, CONFIG.replace("key:ci", "key:cii").replace("fallbacks: [other]", "fallbacks: [x]"))
    assert code == 1
    assert "limits[1].scope" in text
    assert "did you mean ci?" in text
    assert "no model is called x" in text


def test_an_unknown_dialect_or_preset_is_told_with_its_place(tmp_path: Path) -> None:
    code, text = checked(tmp_path, "providers:\n  p: {dialect: opnai}\n  q:\n    preset: mistrall\n")
    assert code == 1
    assert text.splitlines() == [
        f"providers.p.dialect ({tmp_path}/tollway.yaml:2): no dialect is called opnai; did you mean openai?",
        f"providers.q.preset ({tmp_path}/tollway.yaml:4): no preset is called mistrall; did you mean mistral?",
    ]


def test_a_provider_that_would_be_called_without_its_key_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GROQ_API_KEY", raising=False)
    monkeypatch.setenv("MISTRAL_API_KEY", "k-123")
    code, text = checked(tmp_path, "providers: {groq: , mistral: , vllm: , fast: {preset: groq, api_key_file: /key}}")
    assert code == 0
    assert [line for line in text.splitlines() if "no key" in line] == ["  no key     groq: GROQ_API_KEY is not set"]
    assert "k-123" not in text


def test_tls_files_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    (tmp_path / "cert.pem").write_text("...")
    tls = f"{{cert: {tmp_path}/cert.pem, key: {tmp_path}/key.pem, client_ca: {tmp_path}}}"
    code, text = checked(tmp_path, f"grpc: {{tls: {tls}}}")
    assert code == 1
    assert text.splitlines() == [
        f"grpc.tls.key: {tmp_path}/key.pem cannot be read: No such file or directory",
        f"grpc.tls.client_ca: {tmp_path} cannot be read: Is a directory",
    ]


@pytest.mark.parametrize("grpc", ["127.0.0.1:9000", "localhost:9000", "0.0.0.0:9000"])
def test_http_and_grpc_at_one_address_are_told(tmp_path: Path, grpc: str) -> None:
    code, text = checked(tmp_path, f'http: {{listen: "127.0.0.1:9000"}}\ngrpc: {{listen: "{grpc}"}}')
    assert (code, text.count("\n")) == (1, 1)
    assert text.startswith(f"grpc.listen: {grpc} is where http.listen is, too")


def test_addresses_that_up_will_not_listen_at_are_warned_of_with_what_it_will_say(tmp_path: Path) -> None:
    exposed = 'http: {listen: "0.0.0.0:9000"}\ngrpc: {listen: "0.0.0.0:9001"}\n'
    code, text = checked(tmp_path, exposed)
    assert code == 0
    first, second = (line for line in text.splitlines() if line.startswith("`tollway up` will refuse"))
    with pytest.raises(CannotListen) as http:
        check_address("0.0.0.0:9000", keyed=False, allow_insecure=False)
    with pytest.raises(CannotListen) as grpc:
        refuse_exposed("0.0.0.0:9001", None, False, keyed=False)
    assert first.endswith(str(http.value))
    assert second.endswith(str(grpc.value))
    keyed = exposed + "keys: [{name: ci, key: tw-0123456789abcdef}]"
    _, text = checked(tmp_path, keyed)
    with pytest.raises(CannotListen) as grpc:
        refuse_exposed("0.0.0.0:9001", None, False, keyed=True)
    (second,) = [line for line in text.splitlines() if "will refuse" in line]
    assert second.endswith(str(grpc.value))


def test_nothing_is_warned_of_where_everything_is_closed(tmp_path: Path) -> None:
    _, text = checked(tmp_path, CONFIG)
    assert "will refuse" not in text


def test_no_adapter_is_imported_to_check_a_configuration(tmp_path: Path) -> None:
    path = tmp_path / "tollway.yaml"
    path.write_text("providers: {groq: , azure: {base_url: 'https://a', credentials: {kind: entra}}}")
    program = (
        "import sys; from tollway_cli.configuration import load_or_refuse; from pathlib import Path; "
        f"load_or_refuse(Path({str(path)!r})); print([name for name in sys.modules if name.startswith(("
        "'services.providers.adapters.', 'services.providers.bootstrap', 'azure', 'botocore', 'google.auth', "
        "'aiohttp'))])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
