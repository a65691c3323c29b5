"""Everything that is done around a question at once, in the order in which the router does it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from mesh.clock import Clock
from mesh.errors import Reason, TollwayError
from mesh.state.memory import MemoryStore
from mesh.state.store import Decision, Draw, Rate, Slot
from services.router.adapters.exact_cache import ExactCache
from services.router.bootstrap.pipeline import behaviors, mediator
from services.router.domain.caching import Ttls
from services.router.domain.hedging import Hedge
from services.router.domain.keyring import Key, Keyring
from services.router.domain.likeness import of_embedding, of_forwarded
from services.router.domain.limits import Limit, Limits
from services.router.domain.principal import Principal
from services.router.domain.routes import Deployment
from services.router.domain.rules import Action, Condition, Rule
from services.router.handlers.admission import Admission
from services.router.handlers.authentication import Authentication
from services.router.handlers.caching import Caching, by_rules
from services.router.handlers.count_tokens import CountTokens
from services.router.handlers.create_chat_completion import CreateChatCompletion
from services.router.handlers.create_embeddings import CreateEmbeddings
from services.router.handlers.explain_route import ExplainRoute
from services.router.handlers.forward import Forward
from services.router.handlers.idempotency import Idempotency
from services.router.handlers.stream_chat_completion import StreamChatCompletion
from tests.unit.services.router.bench import PARENT, Bench
from tests.unit.services.router.twins import (
    Hang,
    Item,
    Pause,
    answer,
    chat,
    error,
    finish,
    role,
    streamed,
    text,
    usage,
)
from tests.unit.services.router.twins import passed as sound
from tests.unit.services.router.twins import vectors as made
from tollway.chat.v1.chat_pb2 import ChatRequest, Usage
from tollway.chat.v1.embedding_pb2 import EmbeddingInput, EmbeddingRequest
from tollway.chat.v1.forwarding_pb2 import Endpoint, ForwardedQuestion
from tollway.ledger.v1.ledger_pb2 import ATTEMPT_KIND_CACHE_HIT, ATTEMPT_KIND_CONTINUATION, ATTEMPT_KIND_HEDGE
from tollway.providers.v1.providers_pb2 import CountTokensResponse as CountedByProvider
from tollway.router.v1.router_pb2 import (
    CacheMode,
    CacheOutcome,
    CountTokensResponse,
    CreateEmbeddingsResponse,
    ExplainRouteResponse,
    Preferences,
    Receipt,
)

CI, OTHER = "tw-the-key-of-ci", "tw-the-key-of-another"
DAY = 86_400.0
REQUESTS, TOKENS = Rate(10, DAY), Rate(10_000, DAY)
SLOW: list[Item] = [role(), text("a"), Pause(2), text("b"), Pause(2), finish(), usage()]
USE = CacheMode.CACHE_MODE_USE

EITHER = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


class WatchedStore(MemoryStore):
    """Counts what it is asked."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.admissions = 0
        self.asked = 0

    async def admit(self, draws: Sequence[Draw], slots: Sequence[Slot], holder: str) -> Decision:
        self.admissions += 1
        self.asked += 1
        return await super().admit(draws, slots, holder)

    async def add(self, key: str, value: bytes, ttl: float) -> bool:
        self.asked += 1
        return await super().add(key, value, ttl)

    async def get(self, key: str) -> bytes | None:
        self.asked += 1
        return await super().get(key)


class Router:
    """The router's mediator with everything on: keys, idempotency, limits, the cache and a rule that denies."""

    def __init__(self, bench: Bench) -> None:
        bench.rules = [Rule("no poems", Condition(tags=("poem",)), Action(deny="no poems here"))]
        self.bench, self.store = bench, WatchedStore(bench.clock)
        clock, desk = bench.clock, bench.desk
        limits = Limits([Limit("key:*", REQUESTS, TOKENS, concurrency=1)])
        keys = [
            Key(hashlib.sha256(key.encode()).digest(), Principal("default", "default", name, models=("gpt",)))
            for key, name in ((CI, "ci"), (OTHER, "other"))
        ]
        self.idempotency = Idempotency(
            self.store, clock, bench.tracer, bench.metrics, keep=3600.0, max_answer=100_000, max_bytes=1_000_000
        )
        self.admission = Admission(limits, self.store, clock)
        self.caching = Caching(
            ExactCache(self.store, clock, 100_000), Ttls({"gpt": None}, 600.0), bench.journal, clock, bench.tracer,
            bench.metrics, model_providers={"a": "openai"}, max_entry=10_000, ruled=by_rules(bench.rules, clock),
            admit=self.admission.draw_request,
        )  # fmt: skip
        around = behaviors(
            authentication=Authentication(Keyring(keys), clock),
            idempotency=self.idempotency,
            admission=self.admission,
            caching=self.caching,
            max_messages=2048,
        )
        self.mediator = mediator(desk, Timestamp(), around)

    async def ask(
        self,
        stream: bool,
        *,
        key: str = CI,
        request: ChatRequest | None = None,
        tags: Sequence[str] = (),
        idempotency_key: str = "",
        cache: CacheMode.ValueType = CacheMode.CACHE_MODE_UNSPECIFIED,
    ) -> tuple[str, Receipt]:
        """The answer's text and its receipt."""
        kind: Any = StreamChatCompletion if stream else CreateChatCompletion
        preferences = Preferences(idempotency_key=idempotency_key, cache=cache)
        question = kind(
            request or chat(), "req-1", list(tags), PARENT, None, preferences, credentials=f"Bearer {key}"
        )  # fmt: skip
        if not stream:
            response = await self.mediator.send(question)
            return response.chat.choices[0].message.content[0].text, response.receipt
        async with aclosing(self.mediator.stream(question)) as responses:
            messages = [message async for message in responses]
        words = "".join(delta.text for message in messages for delta in message.chunk.deltas)
        return words, messages[-1].receipt

    def asking(self, stream: bool, **how: Any) -> asyncio.Task[tuple[str, Receipt]]:
        return asyncio.get_running_loop().create_task(self.ask(stream, **how))

    async def answered(self, stream: bool, **how: Any) -> tuple[str, Receipt]:
        """The same, with the time it takes."""
        asking = self.asking(stream, **how)
        await self.bench.seconds(asking)
        return asking.result()

    async def refused(self, stream: bool, **how: Any) -> TollwayError:
        return await self.bench.failure(self.asking(stream, **how))

    async def left(self, key: str = "ci") -> tuple[int, int, bool]:
        """How many requests and tokens there still are, and whether the place is free; by drawing none."""
        draws = [Draw(f"limit:requests:key:{key}", REQUESTS, 0), Draw(f"limit:tokens:key:{key}", TOKENS, 0)]
        decision = await MemoryStore.admit(self.store, draws, [], "test")
        slot = Slot(f"limit:concurrency:key:{key}", 1, 1.0)
        free = (await MemoryStore.admit(self.store, [], [slot], "test")).allowed
        await self.store.settle([], [slot], "test")
        requests, tokens = decision.left
        return requests.remaining, tokens.remaining, free


def script(stream: bool) -> Any:
    return streamed("Hello") if stream else answer("Hello")


@EITHER
async def test_whoever_is_not_known_touches_nothing_and_learns_nothing(bench: Bench, stream: bool) -> None:
    bench.deploy(a=[script(stream)])
    router = Router(bench)
    await router.ask(stream, idempotency_key="k", cache=USE)
    asked = router.store.asked
    refused = await router.refused(stream, key="tw-somebody-elses-key", idempotency_key="k", cache=USE)
    assert refused.reason is Reason.UNAUTHENTICATED
    broken = await router.refused(stream, key="tw-somebody-elses-key", request=ChatRequest())
    assert (broken.reason, broken.violations) == (Reason.UNAUTHENTICATED, ())
    assert router.store.asked == asked
    assert len(bench.providers.calls) == 1


@EITHER
async def test_what_cannot_be_asked_draws_nothing_and_is_not_remembered(bench: Bench, stream: bool) -> None:
    bench.deploy(a=[script(stream)])
    router = Router(bench)
    for wrong, reason in ((chat(""), Reason.INVALID_REQUEST), (chat("not-mine"), Reason.PERMISSION_DENIED)):
        assert (await router.refused(stream, request=wrong, idempotency_key="k", cache=USE)).reason is reason
    assert router.store.asked == 0
    assert (await router.ask(stream, idempotency_key="k"))[0] == "Hello"


@EITHER
async def test_a_question_draws_a_request_and_what_it_took(bench: Bench, stream: bool) -> None:
    bench.deploy(a=[script(stream)])
    router = Router(bench)
    _, receipt = await router.ask(stream)
    assert receipt.rate_limits.requests.remaining == 9
    assert await router.left() == (9, 10_000 - 15, True)


@EITHER
async def test_a_repeat_draws_nothing_and_tells_nothing_of_limits_that_held_then(bench: Bench, stream: bool) -> None:
    bench.deploy(a=[SLOW if stream else [Pause(4)]])
    router = Router(bench)
    first = router.asking(stream, idempotency_key="k")
    await bench.clock.advance(1)
    attached = router.asking(stream, idempotency_key="k")  # beyond its only place, were it a question of its own
    await bench.seconds(first)
    words, receipt = await router.ask(stream, idempotency_key="k")
    assert first.result()[1].HasField("rate_limits")
    for repeat in ((await attached), (words, receipt)):
        assert repeat[0] == first.result()[0]
        assert repeat[1].replayed
        assert not repeat[1].HasField("rate_limits")
    assert router.store.admissions == 1
    assert await router.left() == (9, 10_000 - 15, True)
    assert len(bench.journal.rows) == 1


@EITHER
async def test_a_key_is_not_anothers_though_they_send_the_same(bench: Bench, stream: bool) -> None:
    bench.deploy(a=[script(stream)])
    router = Router(bench)
    for key in (CI, OTHER):
        _, receipt = await router.ask(stream, key=key, idempotency_key="k")
        assert not receipt.replayed
    assert await router.left("other") == (9, 10_000 - 15, True)


@EITHER
async def test_an_answer_out_of_the_cache_draws_a_request_and_no_tokens(bench: Bench, stream: bool) -> None:
    bench.deploy(a=[script(stream)])
    router = Router(bench)
    _, missed = await router.answered(stream, cache=USE)
    words, hit = await router.answered(stream, cache=USE)
    assert (words, hit.cache) == ("Hello", CacheOutcome.CACHE_OUTCOME_HIT)
    assert await router.left() == (8, 10_000 - 15, True)
    # What is left is told as of now, not as of when the answer was kept.
    assert (missed.rate_limits.requests.remaining, hit.rate_limits.requests.remaining) == (9, 8)
    _, of_another = await router.answered(stream, key=OTHER, cache=USE)
    assert (of_another.cache, of_another.rate_limits.requests.scope) == (hit.cache, "key:other")
    assert [row.kind for row in bench.journal.rows] == [0, ATTEMPT_KIND_CACHE_HIT, ATTEMPT_KIND_CACHE_HIT]


@EITHER
async def test_an_answer_out_of_the_cache_is_given_to_who_has_no_tokens_and_no_place_left(
    bench: Bench, stream: bool
) -> None:
    bench.deploy(a=[script(stream)])
    router = Router(bench)
    await router.answered(stream, cache=USE)
    slot = Slot("limit:concurrency:key:ci", 1, 30.0)
    _, left, _ = await router.left()
    taken = await router.store.admit([Draw("limit:tokens:key:ci", TOKENS, left)], [slot], "another question")
    assert taken.allowed
    words, hit = await router.answered(stream, cache=USE)
    assert (words, hit.cache) == ("Hello", CacheOutcome.CACHE_OUTCOME_HIT)


@EITHER
async def test_who_has_no_requests_left_is_given_nothing_out_of_the_cache_either(bench: Bench, stream: bool) -> None:
    bench.deploy(a=[script(stream)])
    router = Router(bench)
    for _ in range(10):
        await router.answered(stream, cache=USE)
    assert (await router.refused(stream, cache=USE)).reason is Reason.RATE_LIMITED
    assert len(bench.journal.rows) == 10


@EITHER
async def test_an_answer_out_of_the_cache_is_kept_for_its_repeat(bench: Bench, stream: bool) -> None:
    bench.deploy(a=[script(stream)])
    router = Router(bench)
    await router.answered(stream, cache=USE)
    await router.answered(stream, cache=USE, idempotency_key="k")
    words, receipt = await router.answered(stream, cache=USE, idempotency_key="k")
    assert (words, receipt.replayed, receipt.HasField("rate_limits")) == ("Hello", True, False)
    assert len(bench.journal.rows) == 2


@EITHER
async def test_a_question_that_a_rule_denies_draws_a_request_and_no_tokens(bench: Bench, stream: bool) -> None:
    bench.deploy(a=[script(stream)])
    router = Router(bench)
    await router.answered(stream, cache=USE)
    for _ in range(2):  # it depends on rules that may change, and is found out anew
        refused = await router.refused(stream, tags=["poem"], cache=USE, idempotency_key="k")
        assert (refused.reason, "no poems here" in refused.message) == (Reason.DENIED_BY_RULE, True)
        assert "replayed" not in refused.metadata
    assert await router.left() == (7, 10_000 - 15, True)
    assert len(bench.providers.calls) == 1


@EITHER
async def test_a_question_beyond_a_limit_is_not_remembered(bench: Bench, stream: bool) -> None:
    bench.deploy(a=[[Pause(4), *streamed("Hello")] if stream else [Pause(4)]])
    router = Router(bench)
    first = router.asking(stream)
    await bench.clock.advance(1)
    assert (await router.refused(stream, idempotency_key="k")).reason is Reason.RATE_LIMITED
    await bench.seconds(first)
    words, receipt = await router.answered(stream, idempotency_key="k")
    assert (words, receipt.replayed) == ("Hello", False)


@EITHER
async def test_a_client_that_leaves_gives_its_place_and_its_tokens_back(bench: Bench, stream: bool) -> None:
    bench.deploy(a=[Hang()])
    router = Router(bench)
    asking = router.asking(stream, cache=USE)
    await bench.clock.advance(1)
    assert not (await router.left())[2]
    asking.cancel()
    await asyncio.wait((asking,))
    assert await router.left() == (9, 10_000, True)


async def test_a_client_that_leaves_under_a_key_keeps_its_place_until_the_answer_has_ended(bench: Bench) -> None:
    bench.deploy(a=[SLOW])
    router = Router(bench)
    asking = router.asking(True, idempotency_key="k")
    await bench.clock.advance(1)
    asking.cancel()
    await asyncio.wait((asking,))
    assert not (await router.left())[2]
    await bench.clock.advance(4)
    assert await router.left() == (9, 10_000 - 15, True)
    assert (await router.ask(True, idempotency_key="k"))[0] == "ab"


async def test_both_of_two_attempts_settle_the_one_admission_of_their_question(bench: Bench) -> None:
    slow: list[Item] = [usage(Usage(input_tokens=10, output_tokens=0)), Pause(9), *streamed("Slow")]
    bench.deploy(hedge=Hedge(after=1.0, budget=1.0), a=[slow], b=[streamed("Hello")])
    router = Router(bench)
    words, receipt = await router.answered(True)
    assert (words, receipt.hedged) == ("Hello", True)
    assert [row.kind for row in bench.journal.rows] == [0, ATTEMPT_KIND_HEDGE]
    took = sum(row.usage.input_tokens + row.usage.output_tokens for row in bench.journal.rows)
    assert took >= 10 + 15
    assert router.store.admissions == 1
    assert await router.left() == (9, 10_000 - took, True)


async def test_every_call_that_goes_on_with_an_answer_settles_the_one_admission_of_its_question(bench: Bench) -> None:
    broken: list[Item] = [text("Hel"), usage(Usage(input_tokens=10, output_tokens=3)), error(Reason.UPSTREAM_CUT)]
    ending: list[Item] = [text("lo"), finish(), usage(Usage(input_tokens=13, output_tokens=2))]
    able = Deployment("a", "m", model_provider="openai", can=frozenset({"prefill"}))
    bench.deploy(able, a=[broken, ending])
    router = Router(bench)
    words, receipt = await router.answered(True, idempotency_key="k", cache=USE)
    assert (words, len(receipt.continuations)) == ("Hello", 1)
    assert [row.kind for row in bench.journal.rows] == [0, ATTEMPT_KIND_CONTINUATION]
    assert router.store.admissions == 1
    assert await router.left() == (9, 10_000 - 13 - 15, True)


async def test_a_route_is_explained_for_nothing(bench: Bench) -> None:
    bench.deploy(a=[answer()])
    router = Router(bench)
    preferences = Preferences(idempotency_key="k", cache=USE)
    for _ in range(2):
        response: ExplainRouteResponse = await router.mediator.send(
            ExplainRoute(chat(), "", [], PARENT, None, preferences, credentials=f"Bearer {CI}")
        )
        assert [candidate.deployment for candidate in response.candidates] == ["a/m"]
    assert router.store.asked == 0
    assert bench.journal.opens == {}


class TestWhatIsNoConversation:
    """Everything around it is the same, but for the cache, which does not know it."""

    def vectors(self, router: Router, **fields: Any) -> asyncio.Task[CreateEmbeddingsResponse]:
        key, idempotency_key = fields.pop("key", CI), fields.pop("idempotency_key", "")
        asked = EmbeddingRequest(**{"model": "gpt", "inputs": [EmbeddingInput(text="x" * 400)], **fields})
        preferences = Preferences(idempotency_key=idempotency_key, cache=USE)
        command = CreateEmbeddings(
            of_embedding(asked), "req-1", [], PARENT, None, preferences, credentials=f"Bearer {key}", embedding=asked
        )
        return asyncio.get_running_loop().create_task(self.sent(router, command))

    async def sent(self, router: Router, message: Any) -> Any:
        return await router.mediator.send(message)

    async def passed(self, router: Router, idempotency_key: str = "") -> tuple[bytes, Receipt]:
        asked = ForwardedQuestion(endpoint=Endpoint.ENDPOINT_AUDIO_SPEECH, model="gpt", json=b'{"input": "Hi"}')
        command = Forward(
            of_forwarded(asked), "req-1", [], PARENT, None, Preferences(idempotency_key=idempotency_key),
            credentials=f"Bearer {CI}", question=asked,
        )  # fmt: skip
        async with aclosing(router.mediator.stream(command)) as responses:
            messages = [message async for message in responses]
        return b"".join(message.data for message in messages), messages[-1].receipt

    def count(self, router: Router, key: str = CI) -> asyncio.Task[CountTokensResponse]:
        query = CountTokens(chat(words="x" * 400), "req-1", [], PARENT, None, credentials=f"Bearer {key}")
        return asyncio.get_running_loop().create_task(self.sent(router, query))

    async def test_a_key_that_is_not_known_learns_nothing(self, bench: Bench) -> None:
        bench.deploy(a=[made([1.0])])
        router = Router(bench)
        for asking in (self.vectors(router, key="nobody"), self.count(router, "nobody")):
            assert (await bench.failure(asking)).reason is Reason.UNAUTHENTICATED
        assert router.store.asked == 0

    async def test_a_model_that_the_key_may_not_ask_is_not_asked_for_vectors(self, bench: Bench) -> None:
        bench.deploy(a=[made([1.0])])
        failure = await bench.failure(self.vectors(Router(bench), model="other"))
        assert failure.reason is Reason.PERMISSION_DENIED

    async def test_vectors_draw_a_request_and_the_tokens_they_took(self, bench: Bench) -> None:
        bench.deploy(a=[made([1.0], counted=Usage(input_tokens=90))])
        router = Router(bench)
        response = await self.vectors(router)
        assert await router.left() == (9, 9_910, True)
        assert response.receipt.rate_limits.tokens.remaining == 9_900

    async def test_too_many_tokens_are_refused_before_anyone_is_asked(self, bench: Bench) -> None:
        bench.deploy(a=[made([1.0])])
        failure = await bench.failure(self.vectors(Router(bench), inputs=[EmbeddingInput(text="x" * 50_000)]))
        assert failure.reason is Reason.RATE_LIMITED
        assert not bench.providers.calls

    async def test_a_count_draws_a_request_and_no_tokens(self, bench: Bench) -> None:
        bench.deploy(a=[CountedByProvider(input_tokens=42)])
        router = Router(bench)
        assert (await self.count(router)).input_tokens == 42
        assert await router.left() == (9, 10_000, True)

    async def test_what_is_passed_on_draws_what_it_took(self, bench: Bench) -> None:
        bench.deploy(a=[])
        bench.providers.passing = {"a/m": [sound(b"RIFF", counted=Usage(input_tokens=5, output_tokens=20))]}
        router = Router(bench)
        await self.passed(router)
        assert await router.left() == (9, 9_975, True)

    async def test_vectors_under_an_idempotency_key_are_made_once(self, bench: Bench) -> None:
        bench.deploy(a=[made([1.0]), made([2.0])])
        router = Router(bench)
        first, again = [await self.vectors(router, idempotency_key="k") for _ in range(2)]
        assert first.embedding == again.embedding
        assert (first.receipt.replayed, again.receipt.replayed) == (False, True)
        assert len(bench.providers.calls) == 1

    async def test_the_key_is_of_one_question_in_every_word(self, bench: Bench) -> None:
        bench.deploy(a=[made([1.0])])
        router = Router(bench)
        await self.vectors(router, idempotency_key="k")
        failure = await bench.failure(self.vectors(router, idempotency_key="k", dimensions=8))
        assert failure.reason is Reason.IDEMPOTENCY_CONFLICT

    async def test_the_key_of_a_conversation_is_not_one_of_vectors(self, bench: Bench) -> None:
        bench.deploy(a=[answer()])
        router = Router(bench)
        await router.ask(False, idempotency_key="k")
        failure = await bench.failure(self.vectors(router, idempotency_key="k"))
        assert failure.reason is Reason.IDEMPOTENCY_CONFLICT

    async def test_what_is_passed_on_under_a_key_is_given_again_to_the_byte(self, bench: Bench) -> None:
        bench.deploy(a=[])
        bench.providers.passing = {"a/m": [sound(b"RI", b"FF"), sound(b"other")]}
        router = Router(bench)
        first, again = [await self.passed(router, "k") for _ in range(2)]
        assert first[0] == again[0] == b"RIFF"
        assert again[1].replayed
        assert len(bench.providers.calls) == 1

    async def test_the_cache_is_not_asked_for_vectors(self, bench: Bench) -> None:
        bench.deploy(a=[made([1.0])])
        router = Router(bench)
        for _ in range(2):
            assert not (await self.vectors(router)).receipt.cache
        assert len(bench.providers.calls) == 2
