"""Clients that speak gRPC: the example, health probes and reflection."""

from __future__ import annotations

import subprocess
import sys

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status

from tests.e2e.processes import ROOT, Mesh
from tollway.chat.v1 import chat_pb2
from tollway.router.v1 import router_pb2, router_pb2_grpc


def test_the_example_streams_a_completion(mesh: Mesh) -> None:
    command = [sys.executable, str(ROOT / "examples/stream_completion.py"), "Hello there", "sim/echo", mesh.grpc]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout
    assert shown.startswith("Hello there\n[sim/echo, ")


def test_the_example_is_twenty_lines() -> None:
    lines = (ROOT / "examples/stream_completion.py").read_text().splitlines()
    code = [line for line in lines if line.strip() and not line.startswith('"""')]
    assert len(code) <= 20


def test_an_unknown_model_is_not_found_with_a_reason_for_programs(mesh: Mesh) -> None:
    chat = chat_pb2.ChatRequest(model="nope", messages=[chat_pb2.Message(role=chat_pb2.ROLE_USER)])
    with grpc.insecure_channel(mesh.grpc) as channel, pytest.raises(grpc.RpcError) as caught:
        router_pb2_grpc.RouterServiceStub(channel).CreateChatCompletion(
            router_pb2.CreateChatCompletionRequest(chat=chat), timeout=10
        )
    error = caught.value
    assert isinstance(error, grpc.Call)
    assert error.code() is grpc.StatusCode.NOT_FOUND
    status = rpc_status.from_call(error)
    assert status is not None
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert (info.reason, info.domain) == ("MODEL_NOT_FOUND", "tollway.dev")


@pytest.mark.parametrize("service", ["", "tollway.router.v1.RouterService", "tollway.ledger.v1.LedgerService"])
def test_health_probes_are_answered(mesh: Mesh, service: str) -> None:
    with grpc.insecure_channel(mesh.grpc) as channel:
        answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=service), timeout=10)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_reflection_lists_the_services(mesh: Mesh) -> None:
    question = reflection_pb2.ServerReflectionRequest(list_services="")
    with grpc.insecure_channel(mesh.grpc) as channel:
        answers = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter([question]), timeout=10)
        names = {service.name for service in next(answers).list_services_response.service}
    assert {"tollway.router.v1.RouterService", "grpc.health.v1.Health"} <= names
