from __future__ import annotations

from typing import Any

import pytest
from anthropic.types import TextBlock

from gateway_http.anthropic.citations import citation_json, read_citation
from tollway.chat.v1 import chat_pb2 as pb

DOCUMENT = {"cited_text": "c", "document_index": 0, "document_title": "A"}
KINDS: list[dict[str, Any]] = [
    {"type": "char_location", **DOCUMENT, "start_char_index": 0, "end_char_index": 5, "file_id": "file_1"},
    {"type": "page_location", **DOCUMENT, "start_page_number": 1, "end_page_number": 2},
    {"type": "content_block_location", **DOCUMENT, "start_block_index": 0, "end_block_index": 1},
    {"type": "web_search_result_location", "cited_text": "c", "url": "https://a.example", "title": None,
     "encrypted_index": "x"},
    {"type": "search_result_location", "cited_text": "c", "source": "s", "title": "t", "search_result_index": 0,
     "start_block_index": 0, "end_block_index": 1},
]  # fmt: skip


@pytest.mark.parametrize("given", KINDS, ids=lambda given: given["type"])
def test_every_kind_that_anthropic_has_survives_both_ways(given: dict[str, Any]) -> None:
    citation = pb.Citation()

    read_citation(citation, dict(given))

    assert citation.type == given["type"]
    assert citation_json(citation, "anthropic") == given
    assert TextBlock.model_validate({"type": "text", "text": "", "citations": [given]}, strict=True)


def test_a_kind_that_is_new_is_kept() -> None:
    citation, given = pb.Citation(), {"type": "song_location", "cited_text": "c", "bar": 7}

    read_citation(citation, dict(given))

    assert citation_json(citation, "anthropic") == given


def test_places_are_numbers_that_any_dialect_reads() -> None:
    citation = pb.Citation()

    read_citation(citation, dict(KINDS[0]))

    assert (citation.document_index, citation.title, citation.source_start, citation.source_end) == (0, "A", 0, 5)


def test_another_providers_citation_is_one_that_anthropics_clients_read_and_known_again() -> None:
    given = pb.Citation(type="url_citation", url="https://a.example", title="A", answer_start=3, answer_end=9)
    given.extra_json = b'{"rank":1}'

    written = citation_json(given, "")
    again = pb.Citation()
    read_citation(again, dict(written))

    assert TextBlock.model_validate({"type": "text", "text": "", "citations": [written]}, strict=True)
    assert written["openai"] == {"rank": 1}
    given.extra_json = b""
    assert again == given
