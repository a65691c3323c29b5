"""OpenAI's models that its chat completions do not have: only its Responses do (OpenAI's list of models)."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

_HOST = "api.openai.com"
_MODELS = (
    r"o[13]-pro",
    r"gpt-[\d.]+-pro",
    r"gpt-[\d.]+-cyber",
    r"gpt-[\d.]+-rosalind|gpt-rosalind-.+",
    r"gpt-daybreak-.+",
    r".*codex.*",
    r".+-deep-research",
    r"computer-use-preview",
)
_MODEL = re.compile(rf"(?:{'|'.join(_MODELS)})(?:-\d{{4}}-\d{{2}}-\d{{2}}|-latest)?")


def is_openai(base_url: str) -> bool:
    """Whether that is OpenAI's own address, in whichever region (`eu.api.openai.com`)."""
    host = urlsplit(base_url).hostname or ""
    return host == _HOST or host.endswith(f".{_HOST}")


def needs_responses(model: str) -> bool:
    """Whether a model of OpenAI's is asked by Responses alone."""
    return _MODEL.fullmatch(model) is not None
