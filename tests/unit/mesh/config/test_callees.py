"""What is said of providers that cannot be."""

from __future__ import annotations

from collections.abc import Callable

import pytest

Complaints = Callable[..., list[str]]

WRONG = {
    "{p: {dialect: opnai}}": "p.dialect (tollway.yaml:1): no dialect is called opnai; did you mean openai?",
    "{p: {dialect: xyz}}": "p.dialect (tollway.yaml:1): no dialect is called xyz; "
    "there are azure, bedrock, gemini, openai, sim",
    "{p: {preset: grok}}": "p.preset (tollway.yaml:1): no preset is called grok; did you mean groq?",
    "{p: {preset: gemini, dialect: openai}}": "p.dialect (tollway.yaml:1): is not that of the preset gemini: gemini",
    "{cohere: }": "cohere (tollway.yaml:1): is spoken to in the dialect cohere, which is not among those there are",
    "{p: {api_key: a, api_key_file: b}}": "p.api_key_file (tollway.yaml:1): cannot go with api_key: keep one of them",
    "{p: {api_key_command: b, api_key_file: a}}": "p.api_key_command (tollway.yaml:1): "
    "cannot go with api_key_file: keep one of them",
    "{p: {api_key_ttl: 1m}}": "p.api_key_ttl (tollway.yaml:1): means nothing without an api_key_command",
    "{p: {api_key_command: 'a \"b'}}": "p.api_key_command (tollway.yaml:1): "
    "must be a program and its arguments, with quotes that close",
    "{p: {api_version: 2024-10-21}}": "p.api_version (tollway.yaml:1): "
    "means nothing here: only the dialect azure has dated APIs",
    "{azure: }": "azure (tollway.yaml:1): must have a base_url: everyone has an address of their own there",
    "{azure: {base_url: 'https://a/openai/v1/'}}": "azure.base_url (tollway.yaml:1): "
    "must be the resource's address, without the path /openai/v1",
    "{bedrock: }": "bedrock (tollway.yaml:1): must have a region, as in credentials: {region: eu-central-1}",
    "{bedrock: {credentials: {region: r, access_key_id: a}}}": "bedrock.credentials (tollway.yaml:1): "
    "must have both access_key_id and secret_access_key, or neither",
    "{bedrock: {api_key: k, credentials: {region: r}}}": "bedrock.api_key (tollway.yaml:1): "
    "is not used by credentials of the kind aws: keep one of them",
    "{bedrock: {credentials: {region: r, tenant: t}}}": "bedrock.credentials.tenant (tollway.yaml:1): "
    "means nothing to credentials of the kind aws",
    "{vertex: {credentials: {location: l}}}": "vertex.credentials (tollway.yaml:1): "
    "must have a project, as in credentials: {project: my-project, location: europe-west4}",
    "{p: {credentials: {region: r}}}": "p.credentials.region (tollway.yaml:1): "
    "means nothing to credentials of the kind bearer",
    "{p: {credentials: {kind: header}}}": "p.credentials (tollway.yaml:1): must have the name of the header",
    "{p: {credentials: {kind: query}}}": "p.credentials (tollway.yaml:1): must have the name of the parameter",
    "{p: {credentials: {kind: header, name: 'x key'}}}": "p.credentials.name (tollway.yaml:1): "
    "must be a name of letters, digits, hyphens and underscores, not x key",
    "{p: {credentials: {kind: entra, client_secret: s}}}": "p.credentials (tollway.yaml:1): "
    "must have the tenant and client_id that the client_secret is of",
}


@pytest.mark.parametrize("text", WRONG)
def test_what_is_wrong_is_told_with_its_place(complaints: Complaints, text: str) -> None:
    assert complaints(f"providers: {text}") == [f"providers.{WRONG[text]}"]


@pytest.mark.parametrize(
    "text",
    [
        "{groq: , openai: , vllm: {base_url: 'http://gpu:8000/v1'}}",
        "{p: {api_key_command: [vault, read, a b], api_key_ttl: 5m}}",
        "{azure: {base_url: 'https://a', api_version: 2024-10-21, credentials: {kind: entra}}}",
        "{bedrock: {credentials: {region: eu-central-1, profile: work}}}",
        "{vertex: {credentials: {project: p, location: global, credentials_file: /k.json}}}",
        "{vertex: {credentials: {project: p}}}",
        "{vertex: {base_url: 'http://proxy'}}",
        "{p: {api_key: k, credentials: {kind: query, name: key}}}",
        "{p: {dialect: bedrock, base_url: 'https://b', credentials: {kind: bearer}, api_key: k}}",
    ],
)
def test_what_can_be_is_taken(complaints: Complaints, text: str) -> None:
    assert complaints(f"providers: {text}") == []


def test_a_broken_providers_section_is_left_to_the_schema(complaints: Complaints) -> None:
    (line,) = complaints("providers: {p: {dialect: [openai]}}")
    assert line.startswith("providers.p.dialect (tollway.yaml:1): must be text")
    (line,) = complaints("providers: {p: 5}")
    assert line.startswith("providers.p (tollway.yaml:1): must be a mapping")
