"""What Claude's own API says of documents and search results, where Converse has the same.

A question in Anthropic's dialect says it among the extra fields of its parts: a document's `context` and `citations`,
and a whole `search_result`, of which nobody else knows.
"""

from __future__ import annotations

from services.providers.domain.json_objects import Json, json_object, written

ANTHROPIC = "anthropic"
_OF_DOCUMENTS = ("context", "citations")
_OF_RESULTS = ("source", "title", "content", "citations")


def take_claudes(extra: bytes, said: Json, path: str) -> bytes:
    """Puts what Converse has, too, into the block `said`, and returns the extra fields that are left.

    Raises INVALID_REQUEST for what is no JSON object.
    """
    fields = json_object(extra, f"{path}.extra_json")
    if "document" in said:
        said["document"] |= {name: fields.pop(name) for name in _OF_DOCUMENTS if fields.get(name)}
    elif not said and fields.get("type") == "search_result":
        found = {name: fields.pop(name) for name in _OF_RESULTS if name in fields}
        found["content"] = [{"text": each.get("text", "")} for each in _texts(found.get("content"))]
        said["searchResult"] = found
        del fields["type"]
    return written(fields) if fields else b""


def _texts(content: object) -> list[Json]:
    """A search result's texts; there is nothing else in one."""
    return [each for each in content if isinstance(each, dict)] if isinstance(content, list) else []
