from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from mesh.config.schema import SimOptions
from services.providers.adapters.sim.script import CHAT, Beside, Head, Model, Step, following

MODEL = Model(SimOptions())
USER = {"role": "user", "content": "Hi"}


def chat(**fields: Any) -> tuple[str, dict[str, Any]]:
    return CHAT, {"model": "sim", "messages": [USER], **fields}


LITTLE = {
    "a question": chat(),
    "a streamed one": chat(stream=True),
    "one with a tool": chat(tools=[{"type": "function", "function": {"name": "f"}}]),
    "a vector": ("/embeddings", {"input": "Hi"}),
}
MUCH = {
    "a long text": chat(messages=[{"role": "user", "content": "a " * 20_000}]),
    "a long answer": chat(model="text:tokens=100000"),
    "many answers": chat(n=128),
    "many calls": chat(model="text:calls=128", tools=[{"type": "function", "function": {"name": "f"}}]),
    "long vectors": ("/embeddings", {"input": ["a", "b"], "dimensions": 4096}),
    "many vectors": ("/embeddings", {"input": ["a"] * 1000}),
    "sound": ("/audio/speech", {"input": "Hi"}),
}


@pytest.mark.parametrize("name", LITTLE)
def test_what_takes_no_time_is_made_at_once(name: str) -> None:
    path, fields = LITTLE[name]
    assert Beside.NEXT not in MODEL.script(json.dumps(fields).encode(), path=path)


@pytest.mark.parametrize("name", MUCH)
def test_what_takes_a_while_is_made_beside_the_event_loop(name: str) -> None:
    path, fields = MUCH[name]
    steps = [*MODEL.script(json.dumps(fields).encode(), path=path)]
    assert steps[0] is Beside.NEXT
    assert isinstance(steps[1], Head)
    assert steps.count(Beside.NEXT) == 1


async def test_the_next_step_after_that_is_made_in_a_thread_of_its_own() -> None:
    made: list[str] = []

    def steps() -> Iterator[Step | Beside]:
        for step in (b"a", Beside.NEXT, b"b", b"c"):
            made.append(threading.current_thread().name)
            yield step

    played = steps()
    assert [await following(played) for _ in range(4)] == [b"a", b"b", b"c", None]
    here = threading.current_thread().name
    assert [name == here for name in made] == [True, True, False, True]


@pytest.mark.parametrize(
    ("path", "fields", "param"),
    [
        ("/embeddings", {"input": ["a"] * 2049}, "input"),
        ("/moderations", {"input": ["a"] * 2049}, "input"),
        ("/rerank", {"query": "a", "documents": ["a"] * 10_001}, "documents"),
        ("/audio/speech", {"input": "a" * 4097}, "input"),
    ],
)
def test_a_question_that_asks_for_more_than_there_is_time_for_is_told_so(
    path: str, fields: dict[str, Any], param: str
) -> None:
    *_, head, body = MODEL.script(json.dumps(fields).encode(), path=path)
    assert isinstance(head, Head)
    assert isinstance(body, bytes)
    assert (head.status, json.loads(body)["error"]["param"]) == (400, param)
