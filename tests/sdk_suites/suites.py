"""Which tests of the official SDKs' own API suites are run, and which are not, and why.

The suites were written for a mock server that looks at nothing it is asked. Where what they ask is no question (a
response of no model about nothing), `ASKED` says what is asked in its place. What is answered is validated as they do
it: strictly.
"""

from __future__ import annotations

from typing import Any, NamedTuple

_STORED = "nothing is stored of answers: there is nothing to look up, change, cancel, compact or delete"
_ITS_OWN_BASE64 = (
    "where nothing is said of it, the SDK asks for base64, and its strict validation refuses what it asked for; "
    "the tests with all parameters ask for floats, and are run"
)
_NO_FILES = "pictures are made here, and not changed: what is passed on is images/generations"


class Suite(NamedTuple):
    """The suite of one package. `base` is what stands behind the address of the edge; `modules` are below `tests`."""

    package: str
    base: str
    modules: tuple[str, ...]
    left_out: dict[str, str]
    """By a pattern of `module::test`: why it is not run."""


OPENAI = Suite(
    "openai",
    "/v1",
    (
        "api_resources/chat/test_completions.py",
        "api_resources/test_completions.py",
        "api_resources/test_responses.py",
        "api_resources/test_models.py",
        "api_resources/test_embeddings.py",
        "api_resources/test_moderations.py",
        "api_resources/test_images.py",
        "api_resources/audio/test_speech.py",
        "api_resources/audio/test_transcriptions.py",
    ),
    {
        "chat/test_completions.py::*_retrieve*": _STORED,
        "chat/test_completions.py::*_update*": _STORED,
        "chat/test_completions.py::*_list*": _STORED,
        "chat/test_completions.py::*_delete*": _STORED,
        "test_responses.py::*_retrieve*": _STORED,
        "test_responses.py::*_delete*": _STORED,
        "test_responses.py::*_cancel*": _STORED,
        "test_responses.py::*_compact*": _STORED,
        "test_embeddings.py::*_create[[]strict]": _ITS_OWN_BASE64,
        "test_embeddings.py::*_create[[]aiohttp]": _ITS_OWN_BASE64,
        "test_models.py::*_delete*": "models are configured, and nobody deletes one by asking for it",
        "test_images.py::*_create_variation*": _NO_FILES,
        "test_images.py::*_edit_*": _NO_FILES,
    },
)
ANTHROPIC = Suite("anthropic", "", ("api_resources/test_messages.py",), {})
SUITES = (OPENAI, ANTHROPIC)


class Asked(NamedTuple):
    """How a question becomes one that can be asked."""

    given: dict[str, Any]
    """Fields that are asked where there are none."""
    refused: tuple[str, ...] = ()
    """Fields that are not asked, since they are refused by name."""
    streamed_alone: tuple[str, ...] = ()
    """Fields that are asked of streams alone, since they are refused otherwise."""


ASKED: dict[str, Asked] = {
    "/responses": Asked(
        {"model": "gpt-6-astra", "input": "string"},
        # They refer to what was stored. (OpenAI, too, refuses a conversation beside an earlier response.)
        ("background", "conversation", "previous_response_id"),
    ),
    "/chat/completions": Asked({}, streamed_alone=("stream_options",)),  # as OpenAI does
    "/completions": Asked({}, streamed_alone=("stream_options",)),
}
"""By the path of the endpoint."""
