"""How a provider departs from the dialect that it speaks, as data: what a preset says, and an adapter keeps to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Quirks:
    """None of them: the provider speaks its dialect as the one who made it does.

    Parameters are called as the dialect calls them at the top of a request's body (`max_completion_tokens`).
    """

    renames: Mapping[str, str] = field(default_factory=dict)
    """What the provider calls a parameter, by its name in the dialect: `{"max_completion_tokens": "max_tokens"}`."""
    refuses: frozenset[str] = frozenset()
    """Parameters that the provider does not take. A question that has one is not sent, but where it may be left out."""
    ignores: frozenset[str] = frozenset()
    """Parameters that the provider does not take and that change no answer: they are left out."""
    developer_role: bool = True
    """Whether a message may be the developer's; else it is the system's."""
    stream_options: bool = True
    """Whether a stream may be asked for its usage. Where it may not, it says so unasked."""
    reasoning_field: str = "reasoning_content"
    """Where earlier thinking stands in an assistant's message. Empty: nowhere, and it is left out."""
    reasoning_parts: bool = False
    """Whether it stands among the message's parts instead: `{"type": "thinking", "thinking": [a text's part]}`."""
    reasoning_details: bool = False
    """Whether an assistant's message may hold `reasoning_details`, the thinking with its proofs."""
    reasoning_object: bool = False
    """Whether effort and budget are said as `reasoning: {effort, max_tokens}` rather than as `reasoning_effort`."""
    cache_control: bool = False
    """Whether parts of a message, and tools, may be marked as the end of what is to be cached."""
    tool_id_length: int = 0
    """Of how many letters and digits the id of a tool's call must be. 0: of any, and whatever else."""
    api_version: str = ""
    """The dated version of its API that is asked for, where a dialect has such. Empty: the one without a date."""


NO_QUIRKS = Quirks()
