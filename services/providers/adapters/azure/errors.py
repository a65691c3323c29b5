"""What Azure adds to OpenAI's errors: an `innererror`, which says which filter found what.

A question that is filtered is answered with 400, `code: content_filter` and
`innererror: {code: ResponsibleAIPolicyViolation, content_filter_result: {hate: {filtered, severity}, …}}`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import orjson

from mesh.errors import TollwayError
from services.providers.adapters import openai
from services.providers.domain.json_objects import Json


def decode_error(status: int, headers: Mapping[str, str], body: bytes, now: float) -> TollwayError:
    """The error as OpenAI's, with `upstream_inner_code` and `upstream_filtered`, the filters that found something."""
    failure = openai.decode_error(status, headers, body, now)
    inner = _inner(body)
    about = {"upstream_inner_code": inner.get("code"), "upstream_filtered": ", ".join(_filtered(inner))}
    said = {name: value for name, value in about.items() if value and isinstance(value, str)}
    failure.metadata = {**failure.metadata, **said}
    return failure


def _inner(body: bytes) -> Json:
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:  # a proxy's page: the message has been made of it already
        return {}
    error = answer.get("error") if isinstance(answer, dict) else None
    inner = (error.get("innererror") or error.get("inner_error")) if isinstance(error, dict) else None
    return inner if isinstance(inner, dict) else {}


def _filtered(inner: Json) -> Iterator[str]:
    found = inner.get("content_filter_result") or inner.get("content_filter_results")
    for name, each in found.items() if isinstance(found, dict) else ():
        if isinstance(each, dict) and (each.get("filtered") or each.get("detected")):
            yield str(name)
