"""Requests that are sent again to another router, or to one that was killed and started again."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI

from tests.e2e.asking import headers, rows, text_of
from tests.e2e.processes import Mesh, Process, clean_environment, free_port, one_process
from tollway.ledger.v1 import ledger_pb2

SLOW = "sim/text:rate=40,tokens=60"
"""Takes a second and a half."""
QUESTION: list[Any] = [{"role": "user", "content": "Tell me a story"}]


@pytest.fixture
def tag() -> str:
    """Names the rows of one test."""
    return f"test-{uuid.uuid4().hex}"


def client_of(http: str) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=f"{http}/v1", api_key="none", max_retries=0, timeout=30)


class TestARouterThatIsStartedAgain:
    @pytest.fixture
    def mesh(self, tmp_path: Path) -> Iterator[Mesh]:
        """One process, whose state is in a file."""
        mesh = one_process(tmp_path, TOLLWAY_STATE__URL="sqlite:///{data_dir}/state.db")
        try:
            mesh.wait_until_ready()
            yield mesh
        finally:
            mesh.stop()

    @pytest.fixture
    async def client(self, mesh: Mesh) -> AsyncIterator[AsyncOpenAI]:
        async with client_of(mesh.http) as client:
            yield client

    def kill_and_start(self, mesh: Mesh) -> None:
        up = mesh.processes["up"]
        up.kill()
        up.start()
        mesh.wait_until_ready()

    async def test_gives_again_what_was_answered_before(self, mesh: Mesh, client: AsyncOpenAI, tag: str) -> None:
        create: Any = client.chat.completions.with_raw_response.create

        async def ask(stream: bool) -> tuple[Any, str]:
            key = headers(f"finished {stream}", tag)
            raw = await create(model="sim", messages=QUESTION, stream=stream, extra_headers=key)
            parsed = raw.parse()
            text = (await text_of(parsed))[0] if stream else parsed.choices[0].message.content
            return raw.headers, text

        before = [await ask(stream) for stream in (False, True)]
        assert len(await rows(mesh.ledger, tag, 2)) == 2
        self.kill_and_start(mesh)
        after = [await ask(stream) for stream in (False, True)]
        assert [text for _, text in after] == [text for _, text in before]
        assert [given.get("x-tollway-replayed") for given, _ in (*before, *after)] == [None, None, "1", "1"]
        assert len(await rows(mesh.ledger, tag, 2)) == 2

    async def test_takes_over_what_it_was_killed_in_the_middle_of(
        self, mesh: Mesh, client: AsyncOpenAI, tag: str
    ) -> None:
        async def stream() -> Any:
            return await client.chat.completions.create(
                model=SLOW, messages=QUESTION, stream=True, extra_headers=headers("streamed", tag)
            )

        async def whole() -> Any:
            return await client.chat.completions.with_raw_response.create(
                model=SLOW, messages=QUESTION, extra_headers=headers("whole", tag)
            )

        lost = asyncio.ensure_future(whole())
        broken = await stream()
        for _ in range(10):
            await anext(broken)
        await asyncio.sleep(0.3)  # by then some of it is in the file
        self.kill_and_start(mesh)
        with pytest.raises(openai.APIConnectionError):
            await lost
        await broken.close()
        # Sent at once, both wait until it is sure that nobody is answering any more.
        answered, again = await asyncio.gather(whole(), self.outcome(stream()))
        assert "x-tollway-replayed" not in answered.headers
        assert len(answered.parse().choices[0].message.content.split()) > 30
        assert isinstance(again, openai.APIError)  # some had been said, which another answer would not go on from
        assert "can be asked anew" in str(again)
        text, receipt = await text_of(await stream())
        assert len(text.split()) > 30
        assert "replayed" not in receipt
        same, repeated = await text_of(await stream())
        assert (same, repeated["replayed"]) == (text, True)
        states = sorted(row.state for row in await rows(mesh.ledger, tag, 4))
        assert states == [ledger_pb2.ATTEMPT_STATE_UNSETTLED] * 2 + [ledger_pb2.ATTEMPT_STATE_SETTLED] * 2

    async def outcome(self, asking: Any) -> Any:
        """What a stream comes to: its text, or the error in it."""
        try:
            return await text_of(await asking)
        except openai.APIError as error:
            return error


class TestTwoRoutersThatShareRedis:
    @pytest.fixture
    def routers(self, tmp_path: Path, redis: str) -> Iterator[list[Mesh]]:
        """A router and an edge each, beside one ledger."""
        ledger = f"unix:{tmp_path}/ledger.sock"
        environment = clean_environment(TOLLWAY_STATE__URL=redis)
        processes = [
            Process(
                "ledger", ["serve", "ledger", "--listen", ledger, "--data-dir", f"{tmp_path}/d"], tmp_path, environment
            )
        ]
        meshes = []
        for name in ("one", "other"):
            http, target = free_port(), f"unix:{tmp_path}/{name}.sock"
            command = ["serve", "gateway,router,providers", "--data-dir", f"{tmp_path}/{name}"]
            command += ["--listen", f"gateway=127.0.0.1:{http},router={target}", "--connect", f"ledger={ledger}"]
            processes.append(Process(name, command, tmp_path, environment))
            mesh = Mesh(name, f"http://127.0.0.1:{http}", target, ledger, tmp_path, {name: processes[-1]})
            meshes.append(mesh)
        for process in processes:
            process.start()
        try:
            for mesh in meshes:
                mesh.wait_until_ready()
            yield meshes
        finally:
            for process in reversed(processes):
                process.stop()

    async def test_a_repeat_at_the_other_attaches_to_the_answer_and_is_given_it_again_there(
        self, routers: list[Mesh], tag: str
    ) -> None:
        key = headers(tag, tag)  # one of its own, as the server may be anybody's

        async def ask(client: AsyncOpenAI) -> Any:
            return await client.chat.completions.create(model=SLOW, messages=QUESTION, stream=True, extra_headers=key)

        one, other = routers
        async with client_of(one.http) as here, client_of(other.http) as there:
            first = await ask(here)
            opening = [await anext(first) for _ in range(5)]
            second = await ask(there)
            assert second.response.headers["x-tollway-replayed"] == "1"
            begun = [await anext(second) for _ in range(2)]
            assert {chunk.id for chunk in begun} == {chunk.id for chunk in opening}
            (rest, receipt), (repeated, _) = await asyncio.gather(text_of(first), text_of(second))
            text = "".join(chunk.choices[0].delta.content or "" for chunk in opening) + rest
            assert "".join(chunk.choices[0].delta.content or "" for chunk in begun) + repeated == text
            assert len(text.split()) > 30
            again, told = await text_of(await ask(there))
        assert again == text
        assert (told["replayed"], told["cost_usd"]) == (True, receipt["cost_usd"])
        (row,) = await rows(one.ledger, tag, 1)
        assert (row.status, row.usage.output_tokens) == (ledger_pb2.ATTEMPT_STATUS_OK, 60)
