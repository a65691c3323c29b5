"""Keys, on the real thing in every topology: who is let in, to what, and what is never said."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import grpc
import httpx2
import openai
import pytest
from openai import OpenAI

from mesh.credentials import metadata_of
from mesh.status import from_rpc_error
from tests.e2e.collector import Collector, collecting
from tests.e2e.processes import ROOT, TOPOLOGIES, Mesh, clean_environment
from tests.e2e.test_spend import attempts_of
from tollway.chat.v1 import chat_pb2
from tollway.ledger.v1 import ledger_pb2, ledger_pb2_grpc
from tollway.router.v1 import router_pb2, router_pb2_grpc

CI, OPS, ADMIN, OLD, FOREIGN = (f"tw-canary-{name}-0123456789" for name in ("ci", "ops", "admin", "old", "foreign"))
CONFIG = f"""
models:
  fast: {{deployments: [{{provider: sim, model: echo}}]}}
  failing: {{deployments: [{{provider: sim, model: status-403}}], fallbacks: [fast]}}
  hidden: {{deployments: [{{provider: sim, model: echo}}]}}
keys:
  - {{name: ci, key: "${{CI_KEY}}", tenant: acme, project: demo, tags: [nightly], models: [fast, failing]}}
  - {{name: ops, key_sha256: {hashlib.sha256(OPS.encode()).hexdigest()}, role: operator}}
  - {{name: admin, key_sha256: {hashlib.sha256(ADMIN.encode()).hexdigest()}, role: admin}}
  - {{name: old, key_sha256: {hashlib.sha256(OLD.encode()).hexdigest()}, expires: 2020-01-01}}
telemetry: {{log_level: debug}}
"""
QUESTION: list[Any] = [{"role": "user", "content": "one two three"}]


@dataclass
class Keyed(Mesh):
    """A mesh that asks for keys; `collector` has its spans."""

    collector: Collector = field(default_factory=Collector)


@pytest.fixture(scope="module", params=list(TOPOLOGIES))
def keyed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keyed]:
    """It logs and traces all it has to say, and in the end nothing of it may have been a key."""
    folder = tmp_path_factory.mktemp("keyed")
    (folder / "tollway.yaml").write_text(CONFIG)
    with collecting() as collector:
        telling = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
        mesh = TOPOLOGIES[request.param](folder, folder / "tollway.yaml", CI_KEY=CI, **telling)
        try:
            mesh.wait_until_ready()
            yield Keyed(**{each.name: getattr(mesh, each.name) for each in fields(mesh)}, collector=collector)
        finally:
            mesh.stop()
    logs = mesh.logs()
    assert "was refused" in logs, "the logs do not say much"
    assert "tw-canary" not in logs
    assert collector.spans
    assert "tw-canary" not in str(collector.spans)
    for path in mesh.data_dir.rglob("*"):
        assert path.is_dir() or b"tw-canary" not in path.read_bytes(), path


def client(mesh: Mesh, key: str) -> OpenAI:
    return OpenAI(base_url=mesh.base_url, api_key=key, max_retries=0, timeout=20)


def chat(model: str) -> chat_pb2.ChatRequest:
    return chat_pb2.ChatRequest(model=model, messages=[chat_pb2.Message(role=chat_pb2.ROLE_USER)])


def tollway(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tollway_cli", *arguments]
    env = clean_environment(**environment)
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, env=env, check=False)


@pytest.mark.parametrize("stream", [False, True])
def test_a_key_that_is_known_is_answered_and_its_row_says_whose_it_is(keyed: Keyed, stream: bool) -> None:
    request_id = f"keys-{stream}"
    with client(keyed, CI) as sdk:
        answer = sdk.chat.completions.create(
            model="fast", messages=QUESTION, stream=stream, extra_headers={"x-request-id": request_id}
        )
        if stream:
            assert list(answer)
    (row,) = attempts_of(keyed, request_id, "--data-dir", str(keyed.data_dir))
    assert (row["tenant"], row["project"], row["api_key_id"], row["tags"]) == ("acme", "demo", "ci", ["nightly"])
    spans = keyed.collector.trace(row["trace_id"], 6 if keyed.topology == "one process" else 8)
    (operation,) = [span for span in spans if span.name == "chat fast"]
    said = [operation.attributes[f"tollway.{name}"] for name in ("tenant", "project", "key")]
    assert said == ["acme", "demo", "ci"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("key", "said"),
    [(FOREIGN, "is not known here"), (OLD, "The API key old expired at 2020-01-01"), ("x y", "is not one API key")],
)
def test_any_other_key_is_refused_and_reaches_nobody(keyed: Keyed, key: str, said: str, stream: bool) -> None:
    request_id = f"keys-refused-{stream}-{len(key)}"
    with client(keyed, key) as sdk, pytest.raises(openai.AuthenticationError, match=said) as refused:
        sdk.chat.completions.create(
            model="fast", messages=QUESTION, stream=stream, extra_headers={"x-request-id": request_id}
        )
    assert refused.value.response.headers["www-authenticate"] == "Bearer"
    assert "x-tollway-deployment" not in refused.value.response.headers
    assert rows(keyed, request_id) == []


def rows(mesh: Mesh, request_id: str) -> list[ledger_pb2.Attempt]:
    """What the ledger has of a request, once it has what was asked after it."""
    marker = f"{request_id}-marker"
    with client(mesh, CI) as sdk:
        sdk.chat.completions.create(model="fast", messages=QUESTION, extra_headers={"x-request-id": marker})
    assert attempts_of(mesh, marker, "--data-dir", str(mesh.data_dir))
    with grpc.insecure_channel(mesh.ledger) as channel:
        ledger = ledger_pb2_grpc.LedgerServiceStub(channel)
        usage = ledger.ListUsage(ledger_pb2.ListUsageRequest(page_size=1000), metadata=metadata_of(OPS), timeout=10)
    return [attempt for attempt in usage.attempts if attempt.request_id == request_id]


@pytest.mark.parametrize("headers", [{"x-api-key": CI}, {"api-key": CI}, {"authorization": f"bearer {CI}"}])
def test_clients_of_other_makes_are_let_in_with_their_own_headers(keyed: Keyed, headers: dict[str, str]) -> None:
    body = {"model": "fast", "messages": QUESTION}
    assert httpx2.post(f"{keyed.base_url}/chat/completions", json=body, headers=headers, timeout=20).status_code == 200


@pytest.mark.parametrize("headers", [{}, {"authorization": f"Basic {CI}"}, {"x-api-key": CI, "api-key": OPS}])
@pytest.mark.parametrize("path", ["chat/completions", "models"])
def test_a_call_that_does_not_show_one_key_is_refused(keyed: Keyed, headers: dict[str, str], path: str) -> None:
    method = "GET" if path == "models" else "POST"
    body = None if path == "models" else {"model": "fast", "messages": QUESTION}
    answer = httpx2.request(method, f"{keyed.base_url}/{path}", json=body, headers=headers, timeout=20)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")
    assert "tw-canary" not in answer.text


def test_a_key_asks_for_its_models_alone_and_sees_no_others(keyed: Keyed) -> None:
    with client(keyed, CI) as sdk:
        with pytest.raises(openai.PermissionDeniedError, match="The key ci may not ask for the model 'hidden'"):
            sdk.chat.completions.create(model="hidden", messages=QUESTION)
        assert [model.id for model in sdk.models.list()] == ["fast", "failing"]
        with pytest.raises(openai.NotFoundError):
            sdk.models.retrieve("hidden")
    with client(keyed, OPS) as sdk:
        assert "hidden" in [model.id for model in sdk.models.list()]


def test_where_a_model_falls_back_to_is_the_configuration_s_to_say(keyed: Keyed) -> None:
    with client(keyed, CI) as sdk:
        raw = sdk.chat.completions.with_raw_response.create(model="failing", messages=QUESTION)
    assert raw.headers["x-tollway-deployment"] == "sim/echo"


async def failure(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    return refused.value


@pytest.mark.parametrize(
    ("metadata", "code", "reason"),
    [
        ((), grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED"),
        (metadata_of(FOREIGN), grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED"),
        ((*metadata_of(CI), *metadata_of(OPS)), grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED"),
        (metadata_of(CI), grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED"),
    ],
)
async def test_grpc_callers_are_asked_as_well(keyed: Keyed, metadata: Any, code: grpc.StatusCode, reason: str) -> None:
    async with grpc.aio.insecure_channel(keyed.grpc) as channel:
        router = router_pb2_grpc.RouterServiceStub(channel)
        asked = {"metadata": metadata, "timeout": 10}
        whole = router.CreateChatCompletion(router_pb2.CreateChatCompletionRequest(chat=chat("hidden")), **asked)
        stream = router.StreamChatCompletion(router_pb2.StreamChatCompletionRequest(chat=chat("hidden")), **asked)
        for call in (whole, anext(aiter(stream))):
            refused = await failure(call)
            assert refused.code() is code
            assert from_rpc_error(refused).reason == reason
            assert "canary" not in str(refused)
        allowed = router_pb2.CreateChatCompletionRequest(chat=chat("fast"))
        assert await router.CreateChatCompletion(allowed, metadata=metadata_of(CI), timeout=10)


def test_beside_the_router_the_ledger_opens_to_operators_for_reading_and_to_admins(keyed: Keyed) -> None:
    def code(call: Any, request: Any, key: str) -> str:
        try:
            call(request, metadata=metadata_of(key), timeout=10)
        except grpc.RpcError as error:
            return str(getattr(error, "code")().name)  # noqa: B009 - its published type has none
        return "OK"

    callers = ("", FOREIGN, CI, OPS, ADMIN)
    with grpc.insecure_channel(keyed.ledger) as channel:
        ledger = ledger_pb2_grpc.LedgerServiceStub(channel)
        reading = [code(ledger.GetSpend, ledger_pb2.GetSpendRequest(), key) for key in callers]
        writing = [code(ledger.SetPrice, ledger_pb2.SetPriceRequest(price=ledger_pb2.Price()), key) for key in callers]
    if keyed.topology == "one process":
        assert reading == ["UNAUTHENTICATED", "UNAUTHENTICATED", "PERMISSION_DENIED", "OK", "OK"]
        assert writing[:4] == ["UNAUTHENTICATED", "UNAUTHENTICATED", "PERMISSION_DENIED", "PERMISSION_DENIED"]
    else:  # at an address of its own it is there for routers, which have no keys
        assert reading == ["OK"] * 5
    assert writing[4] == "INVALID_ARGUMENT"


def test_the_whole_book_is_read_by_operators_and_adjusted_by_admins_where_the_router_is(
    keyed: Keyed, tmp_path: Path
) -> None:
    with client(keyed, CI) as sdk:
        sdk.chat.completions.create(model="fast", messages=QUESTION, extra_headers={"x-request-id": "keys-books"})
    (row,) = attempts_of(keyed, "keys-books", "--data-dir", str(keyed.data_dir))
    (tmp_path / "usage.csv").write_text(f"day,model,input_tokens\n{row['start_time'][:10]},{row['model_used']},0\n")
    book = ["--connect", keyed.ledger]
    audit = ["audit", *book]
    reconcile = ["reconcile", str(tmp_path / "usage.csv"), "--provider", "generic", "--tolerance", "100%", *book]
    adjust = ["adjust", row["attempt_id"], "--cost", "$1", "--reason", "a test", *book]
    asked_for = {"audit": "operator", "reconcile": "operator", "adjust": "admin"}
    for command in (audit, reconcile, adjust):
        if keyed.topology != "one process":  # at an address of its own it is there for routers, which have no keys
            break
        role = asked_for[command[0]]
        nobody, caller = tollway(*command), tollway(*command, "--key", CI)
        assert (nobody.returncode, caller.returncode) == (2, 2)
        assert "TOLLWAY_KEY says which" in nobody.stderr
        assert f"takes a key with the role {role}; ci has the role caller" in caller.stderr
        if role == "admin":
            operator = tollway(*command, "--key", OPS)
            assert operator.returncode == 2
            assert "AdjustAttempt takes a key with the role admin; ops has the role operator" in operator.stderr
    bad = tmp_path / "bad.csv"
    bad.write_text("day,model,input_tokens\n2026-11-01,m,many\n" + "2026-11-01,m,1\n" * 300_000)
    told = tollway("reconcile", str(bad), "--provider", "generic", *book, "--key", OPS)
    assert told.returncode == 2
    assert f"{bad}, line 2: input_tokens 'many' is not a whole number" in told.stderr
    for command, key in ((reconcile, OPS), (adjust, ADMIN), (audit, OPS)):
        done = tollway(*command, "--key", key)
        assert done.returncode == 0, done.stdout + done.stderr
    assert "The books are in order" in done.stdout


def test_the_command_line_shows_a_key_where_it_asks(keyed: Keyed) -> None:
    refused = tollway("models", "--connect", keyed.grpc)
    assert refused.returncode == 2
    assert "No API key came with this call" in refused.stderr
    assert "--key or TOLLWAY_KEY" in refused.stderr
    assert "hidden" not in tollway("models", "--connect", keyed.grpc, "--key", CI).stdout
    assert "hidden" in tollway("models", "--connect", keyed.grpc, TOLLWAY_KEY=OPS).stdout
    shown = tollway("spend", "--by", "key", "--connect", keyed.ledger, TOLLWAY_KEY=OPS)
    assert shown.returncode == 0, shown.stderr
    if keyed.topology == "one process":
        denied = tollway("spend", "--connect", keyed.ledger, "--key", CI)
        assert "GetSpend takes a key with the role operator; ci has the role caller" in denied.stderr


def test_who_watches_the_process_needs_no_key(keyed: Keyed) -> None:
    for path in ("healthz", "readyz", "metrics"):
        answer = httpx2.get(f"{keyed.http}/{path}", timeout=20)
        assert answer.status_code == 200
        assert "tw-canary" not in answer.text


def test_with_keys_the_edge_listens_beyond_this_machine_and_grpc_only_with_tls(tmp_path: Path) -> None:
    config = tmp_path / "tollway.yaml"
    config.write_text(f'{CONFIG}\nhttp: {{listen: "0.0.0.0:0"}}\ngrpc: {{listen: "0.0.0.0:0"}}\n')
    declined = tollway("up", "--config", str(config), "--data-dir", str(tmp_path / "data"), CI_KEY=CI)
    assert declined.returncode == 2
    assert "nothing there is encrypted" in declined.stderr
    assert not (tmp_path / "data").exists()
    config.write_text(f'{CONFIG}\nhttp: {{listen: "0.0.0.0:8080"}}\n')
    mesh = TOPOLOGIES["one process"](tmp_path, config, CI_KEY=CI)
    try:
        mesh.wait_until_ready()
        with client(mesh, CI) as sdk:
            assert sdk.chat.completions.create(model="fast", messages=QUESTION)
        with client(mesh, FOREIGN) as sdk, pytest.raises(openai.AuthenticationError):
            sdk.models.list()
    finally:
        mesh.stop()


def test_over_tls_the_command_line_asks_as_services_do(tmp_path: Path) -> None:
    files = ROOT / "tests/mesh/tls"
    tls = f"{{cert: {files}/service.pem, key: {files}/service.key, client_ca: {files}/ca.pem}}"
    config = tmp_path / "tollway.yaml"
    config.write_text(f'{CONFIG}\ngrpc: {{listen: "0.0.0.0:50051", tls: {tls}}}\n')
    mesh = TOPOLOGIES["one process"](tmp_path, config, CI_KEY=CI)
    try:
        mesh.wait_until_ready()
        target = mesh.grpc.replace("127.0.0.1", "localhost")
        asked = ("--connect", target, "--config", str(config))
        assert "hidden" in tollway("models", *asked, TOLLWAY_KEY=OPS, CI_KEY=CI).stdout
        assert tollway("spend", *asked, TOLLWAY_KEY=OPS, CI_KEY=CI).returncode == 0
        assert "No API key" in tollway("spend", *asked, CI_KEY=CI).stderr
        assert tollway("models", "--connect", target, TOLLWAY_KEY=OPS).returncode == 2
    finally:
        mesh.stop()
