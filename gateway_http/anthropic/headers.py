"""What Anthropic's clients say in headers: the version of the interface, and which of its betas they use.

Source: Anthropic's documentation of versions and of beta headers.
"""

from __future__ import annotations

from typing import Any

from gateway_http.request_headers import Headers
from mesh.errors import invalid

ID_HEADER = "request-id"
"""The header in which Anthropic's clients look for an answer's id."""

VERSIONS = ("2023-06-01", "2026-10-21")
"""Answers are the same in both. The newer one takes less: no sampling options, no documents of the assistant's, no
citations of the user's. What only the older one takes is taken under either name here, and is for whoever is asked to
accept or not."""
_MOST_BETAS = 64
_LONGEST_BETA = 128


def read_headers(headers: Headers, fields: dict[str, Any]) -> None:
    """Checks the version, and puts the betas among the fields of the question, as `anthropic_beta`.

    That is where Bedrock and Vertex AI have them, too; a client may write them there itself. Whoever speaks to
    Anthropic makes a header of them again. Raises INVALID_REQUEST for a version that is not spoken here, or none.
    """
    version = headers.get("anthropic-version")
    if version not in VERSIONS:
        raise invalid("anthropic-version", f"must be given, and be one of {', '.join(VERSIONS)}")
    betas = [beta.strip() for value in headers.getall("anthropic-beta", ()) for beta in value.split(",")]
    betas = [beta for beta in dict.fromkeys(betas) if beta]
    if len(betas) > _MOST_BETAS or not all(len(b) <= _LONGEST_BETA and b.isascii() and b.isprintable() for b in betas):
        raise invalid("anthropic-beta", f"must be at most {_MOST_BETAS} names of printable ASCII characters")
    if betas and fields.get("anthropic_beta") is None:
        fields["anthropic_beta"] = betas
