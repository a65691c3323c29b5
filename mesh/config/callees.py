"""What is wrong with providers that only shows beside what is known of them, or where their keys meet."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from mesh.config.document import Document
from mesh.config.presets import SIGNED, Known, keys_of, preset_of
from mesh.config.problems import KeyPath
from mesh.config.schema import Credentials
from mesh.config.wording import nearest

_KEYS = ("api_key", "api_key_file", "api_key_command")
_WORDS = ("preset", "dialect", "base_url")
_OF_AZURE = "azure"


def check_callees(document: Document, known: Known) -> None:
    """Adds what is wrong with the document's providers to its problems."""
    for name, written in document.data["providers"].items():
        provider = {key: each for key, each in _given(written).items() if key not in _WORDS or isinstance(each, str)}
        path: KeyPath = ("providers", name)
        _check_named(document, (*path, "dialect"), provider.get("dialect"), known.dialects)
        _check_named(document, (*path, "preset"), provider.get("preset"), known.presets)
        preset = known.presets.get(preset_of(name, provider, known))
        dialect = provider.get("dialect") or (preset.dialect if preset else "openai")
        if preset is not None and dialect != preset.dialect:
            document.blame((*path, "dialect"), f"is not that of the preset {provider['preset']}: {preset.dialect}")
        if preset is not None and preset.dialect not in known.dialects:
            document.blame(path, f"is spoken to in the dialect {preset.dialect}, which is not among those there are")
        stated = _given(provider.get("credentials")).get("kind")
        kind = stated if stated and isinstance(stated, str) else (preset.credentials if preset else "")
        _check_key(document, path, provider, kind)
        _check_credentials(document, path, provider, kind)
        if provider.get("api_version") and dialect != _OF_AZURE:
            document.blame((*path, "api_version"), f"means nothing here: only the dialect {_OF_AZURE} has dated APIs")
        if dialect == _OF_AZURE and provider.get("base_url", "").rstrip("/").endswith("/openai/v1"):
            document.blame((*path, "base_url"), "must be the resource's address, without the path /openai/v1")
        if preset is not None and not preset.base_url and not provider.get("base_url"):
            _check_place(document, path, provider, kind)


def _check_named(document: Document, path: KeyPath, name: str | None, known: Collection[str]) -> None:
    if name and name not in known:
        candidate = nearest(name, known)
        other = f"did you mean {candidate}?" if candidate else f"there are {', '.join(sorted(known)) or 'none'}"
        document.blame(path, f"no {path[-1]} is called {name}; {other}")


def _check_key(document: Document, path: KeyPath, provider: dict[str, Any], kind: str) -> None:
    given = [key for key in _KEYS if provider.get(key)]
    if len(given) > 1:
        document.blame((*path, given[1]), f"cannot go with {given[0]}: keep one of them")
    if given and kind in SIGNED:
        document.blame((*path, given[0]), f"is not used by credentials of the kind {kind}: keep one of them")
    if "api_key_ttl" in provider and "api_key_command" not in given:
        document.blame((*path, "api_key_ttl"), "means nothing without an api_key_command")


def _check_credentials(document: Document, path: KeyPath, provider: dict[str, Any], kind: str) -> None:
    given = _given(provider.get("credentials"))
    place: KeyPath = (*path, "credentials")
    for key in given:
        if key in Credentials.model_fields and key not in keys_of(kind):
            document.blame((*place, key), f"means nothing to credentials of the kind {kind or 'bearer'}")
    if kind in ("header", "query") and not given.get("name"):
        document.blame(place, f"must have the name of the {'header' if kind == 'header' else 'parameter'}")
    if kind == "aws" and not given.get("region"):
        document.blame(place if given else path, "must have a region, as in credentials: {region: eu-central-1}")
    if kind == "aws" and bool(given.get("access_key_id")) != bool(given.get("secret_access_key")):
        document.blame(place, "must have both access_key_id and secret_access_key, or neither")
    if kind == "entra" and given.get("client_secret") and not (given.get("tenant") and given.get("client_id")):
        document.blame(place, "must have the tenant and client_id that the client_secret is of")


def _check_place(document: Document, path: KeyPath, provider: dict[str, Any], kind: str) -> None:
    """Where there is no address, something else must say where the provider is."""
    given = _given(provider.get("credentials"))
    if kind == "google":
        if not given.get("project"):
            message = "must have a project, as in credentials: {project: my-project, location: europe-west4}"
            document.blame((*path, "credentials") if given else path, message)
    elif kind != "aws":
        document.blame(path, "must have a base_url: everyone has an address of their own there")


def _given(value: object) -> dict[str, Any]:
    return {key: each for key, each in value.items() if each is not None} if isinstance(value, dict) else {}
