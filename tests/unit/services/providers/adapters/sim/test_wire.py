from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

from mesh.config.schema import SimOptions
from services.providers.adapters.sim.script import Model

WORDS = "The quick brown fox jumps over the lazy dog, and nobody knows why."


def answered(**fields: Any) -> Any:
    body = {"model": "echo", "messages": [{"role": "user", "content": WORDS}], **fields}
    _, *said = Model(SimOptions()).script(json.dumps(body).encode())
    return json.loads(b"".join(step for step in said if isinstance(step, bytes)))


def test_no_token_is_more_probable_than_certain_and_none_in_its_place_more_than_it() -> None:
    tokens = answered(logprobs=True, top_logprobs=5)["choices"][0]["logprobs"]["content"]
    assert "".join(token["token"] for token in tokens) == WORDS
    for token in tokens:
        ranked = [each["logprob"] for each in token["top_logprobs"]]
        assert ranked[0] == token["logprob"] <= 0
        assert all(more > less for more, less in pairwise(ranked))
