"""What a response that failed says, in the error table's words. Errors of calls are OpenAI's own, as everywhere."""

from __future__ import annotations

from typing import Any

from mesh.errors import Reason, TollwayError
from services.providers.adapters.openai.errors import named_error
from services.providers.domain.json_objects import Json

_REJECTED = ("invalid_", "image_", "unsupported_", "empty_", "failed_to_download_")
"""How codes begin that blame the question. They come without a status."""


def failure(error: Any) -> TollwayError:
    """What a response says in `error`, or an event of the type `error`."""
    said: Json = error if isinstance(error, dict) else {}
    code = said.get("code")
    words = code if isinstance(code, str) else ""
    filtered = "policy" in words
    if filtered or words.startswith(_REJECTED):
        said = {"status": 400, **said}
    failed = named_error({"error": said}) if said else None
    if failed is None:
        return TollwayError(Reason.UPSTREAM_FAILED, "the provider's response failed, and does not say how")
    if filtered:
        failed.reason = Reason.CONTENT_FILTERED
    return failed
