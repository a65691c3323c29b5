"""Finding the configuration, and declining a broken one with everything that is wrong with it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

from mesh.config.defaults import with_defaults
from mesh.config.load import load
from mesh.config.presets import Known
from mesh.config.problems import ConfigError, describe
from mesh.config.schema import Config
from services.providers.adapters import dialect_names
from services.providers.presets import Presets

DEFAULT_FILE = Path("tollway.yaml")


def find(path: Path | None) -> Path | None:
    """The file named, else `tollway.yaml` in this folder where there is one."""
    return path or (DEFAULT_FILE if DEFAULT_FILE.exists() else None)


def load_or_refuse(path: Path | None) -> Config:
    """The configuration with its defaults. A broken one ends the process with every problem and exit status 1."""
    try:
        known = known_providers()
        return with_defaults(load(find(path), os.environ, known), os.environ, known)
    except ConfigError as error:
        sys.stderr.writelines(f"{line}\n" for line in describe(error.problems))
        raise SystemExit(1) from None


def known_providers() -> Known:
    """Whom a configuration may name. No adapter is imported, and no preset read before somebody asks for it."""
    return Known((*dialect_names(), "sim"), Presets())


def secrets(config: Config) -> list[str]:
    """What must not show in any log line."""
    keys = [provider.api_key.get_secret_value() for provider in config.providers.values()]
    headers = [value for provider in config.providers.values() for value in provider.headers.values()]
    signing = [
        secret.get_secret_value()
        for each in (provider.credentials for provider in config.providers.values())
        for secret in (each.secret_access_key, each.session_token, each.client_secret)
    ]
    callers = [key.key.get_secret_value() for key in config.keys if key.key is not None]
    passwords = [urlsplit(url).password or "" for url in (config.ledger.url, config.state.url)]
    return [secret for secret in (*keys, *headers, *signing, *callers, *passwords, *map(unquote, passwords)) if secret]
