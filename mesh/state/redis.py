"""The state that many machines share, in Redis or Valkey.

A decision is one script, at the server's time. All rates and slots lie in one slot of a cluster (`{limits}`), because a
decision touches several and must see them in one place; records and logs are spread, each by its own key.

What a rate is kept as, and why nothing is rounded, is in `mesh.state.gcra`: scripts only ever add, compare and carry,
on numbers that a double holds exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha1
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError

from mesh.clock import Clock
from mesh.state import gcra
from mesh.state.batches import Batches
from mesh.state.gcra import micros
from mesh.state.store import Decision, Draw, Slot, unreachable

_RATE, _SLOT = "tollway:{limits}:rate:", "tollway:{limits}:slot:"
_RECORD, _LOG = "tollway:record:{", "tollway:log:{"
_LONGEST_LEASE = 10 * 365 * 86_400_000
"""Milliseconds: what outlives ten years need not, and Redis takes no more than fits."""

_PRELUDE = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

-- When all of a rate is there again: microseconds, and ticks of which `limit` make one. Never before now.
local function full(key, limit)
  local kept = redis.call('GET', key)
  if kept then
    local micros, ticks = string.match(kept, '^(%d+) (%d+)$')
    micros, ticks = tonumber(micros), math.min(tonumber(ticks), limit - 1)
    if micros >= now then return micros, ticks end
  end
  return now, 0
end

local function plus(micros, ticks, more_micros, more_ticks, limit)
  micros, ticks = micros + more_micros, ticks + more_ticks
  if ticks >= limit then micros, ticks = micros + 1, ticks - limit end
  if micros < now then return now, 0 end
  return micros, ticks
end

local function keep(key, micros, ticks)
  local lives = math.ceil((micros - now) / 1000) + 1
  redis.call('SET', key, string.format('%.0f %.0f', micros, ticks), 'PX', string.format('%.0f', lives))
end
"""
_ADMIT = (
    _PRELUDE
    + """
-- ARGV: how many rates, who holds; of each rate its limit, what is drawn (microseconds, ticks), and its period; of each
-- slot its places and its lease. Answers with who refused (a key's number, or 0), for how long, the time, the rates.
local rates, holder = tonumber(ARGV[1]), ARGV[2]
local before, after, refused, longest = {}, {}, 0, 0
for i = 1, rates do
  local at = 4 * i - 1
  local limit = tonumber(ARGV[at])
  local micros, ticks = full(KEYS[i], limit)
  before[2 * i - 1], before[2 * i] = micros, ticks
  micros, ticks = plus(micros, ticks, tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]), limit)
  after[2 * i - 1], after[2 * i] = micros, ticks
  local wait = micros - tonumber(ARGV[at + 3]) - now
  if ticks > 0 then wait = wait + 1 end
  if wait > longest then refused, longest = i, wait end
end
local slots = 4 * rates + 3
for i = rates + 1, #KEYS do
  redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', string.format('%.0f', now))
  local places = tonumber(ARGV[slots + 2 * (i - rates - 1)])
  if refused == 0 and redis.call('ZCARD', KEYS[i]) >= places and not redis.call('ZSCORE', KEYS[i], holder) then
    refused = i
  end
end
local answer = {refused, longest, now}
if refused > 0 then
  after = before
else
  for i = 1, rates do keep(KEYS[i], after[2 * i - 1], after[2 * i]) end
  for i = rates + 1, #KEYS do
    local lease = tonumber(ARGV[slots + 2 * (i - rates - 1) + 1])
    redis.call('ZADD', KEYS[i], string.format('%.0f', now + lease), holder)
    redis.call('PEXPIRE', KEYS[i], string.format('%.0f', math.ceil(lease / 1000) + 1))
  end
end
for i = 1, 2 * rates do answer[3 + i] = after[i] end
return answer
"""
)
_SETTLE = (
    _PRELUDE
    + """
-- ARGV: how many rates, who held; of each rate its limit and what is taken (microseconds, ticks). Then slots come.
local rates, holder = tonumber(ARGV[1]), ARGV[2]
for i = 1, rates do
  local limit = tonumber(ARGV[3 * i])
  local micros, ticks = full(KEYS[i], limit)
  keep(KEYS[i], plus(micros, ticks, tonumber(ARGV[3 * i + 1]), tonumber(ARGV[3 * i + 2]), limit))
end
for i = rates + 1, #KEYS do redis.call('ZREM', KEYS[i], holder) end
"""
)
_SWAP = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
"""
_APPEND = """
for i = 2, #ARGV do redis.call('RPUSH', KEYS[1], ARGV[i]) end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
"""

Argument = str | bytes | int


@dataclass(frozen=True, slots=True)
class _Operation:
    """A command, and what its answer means."""

    command: tuple[Argument, ...]
    read: Callable[[Any], Any]
    script: str = ""
    """What EVALSHA stands for, where that is the command."""


def _script(script: str, keys: Sequence[str], arguments: Sequence[Argument], read: Callable[[Any], Any]) -> _Operation:
    return _Operation(("EVALSHA", _DIGESTS[script], len(keys), *keys, *arguments), read, script)


_DIGESTS = {
    script: sha1(script.encode(), usedforsecurity=False).hexdigest() for script in (_ADMIT, _SETTLE, _SWAP, _APPEND)
}


class RedisStore:
    """Implements `StateStore`. `patience` is how many seconds a trip to the server may take."""

    def __init__(self, url: str, clock: Clock, patience: float) -> None:
        """Connects when it is first asked. Raises ValueError for a URL that cannot be read."""
        self._redis: Redis = Redis.from_url(
            url,
            retry=Retry(NoBackoff(), 0),  # a decision that is asked for twice would be taken twice
            socket_connect_timeout=patience,
            client_name="tollway",
        )
        self._batches: Batches[_Operation] = Batches(self._trip, clock, patience)

    async def _trip(self, operations: Sequence[_Operation]) -> Sequence[Any]:
        answers = await self._send([operation.command for operation in operations])
        unknown = [index for index, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        if unknown:  # the server has been started anew, or its scripts were flushed
            scripts = [("EVAL", operations[index].script, *operations[index].command[2:]) for index in unknown]
            for index, answer in zip(unknown, await self._send(scripts), strict=True):
                answers[index] = answer
        return [
            unreachable(str(answer)) if isinstance(answer, RedisError) else operation.read(answer)
            for operation, answer in zip(operations, answers, strict=True)
        ]

    async def _send(self, commands: Sequence[tuple[Argument, ...]]) -> list[Any]:
        try:
            async with self._redis.pipeline(transaction=False) as pipeline:
                for command in commands:
                    pipeline.execute_command(*command)
                answers: list[Any] = await pipeline.execute(raise_on_error=False)
        except (RedisError, OSError) as error:
            raise unreachable(f"{type(error).__name__}: {error}") from error
        return answers

    async def admit(self, draws: Sequence[Draw], slots: Sequence[Slot], holder: str) -> Decision:
        arguments: list[Argument] = [len(draws), holder]
        for draw in draws:
            arguments += (draw.rate.limit, *_taken(draw), micros(draw.rate.period))
        for slot in slots:
            arguments += (slot.limit, micros(slot.lease))
        keys = _keys(draws, slots)
        names = [*(draw.key for draw in draws), *(slot.key for slot in slots)]
        decision: Decision = await self._batches.ask(
            _script(_ADMIT, keys, arguments, lambda answer: _decision(answer, draws, names))
        )
        return decision

    async def settle(self, draws: Sequence[Draw], slots: Sequence[Slot], holder: str) -> None:
        arguments: list[Argument] = [len(draws), holder]
        for draw in draws:
            arguments += (draw.rate.limit, *_taken(draw))
        await self._batches.ask(_script(_SETTLE, _keys(draws, slots), arguments, _nothing))

    async def get(self, key: str) -> bytes | None:
        value: bytes | None = await self._batches.ask(_Operation(("GET", _record(key)), _as_it_is))
        return value

    async def put(self, key: str, value: bytes, ttl: float) -> None:
        await self._batches.ask(_Operation(("SET", _record(key), value, "PX", _millis(ttl)), _nothing))

    async def add(self, key: str, value: bytes, ttl: float) -> bool:
        command = ("SET", _record(key), value, "NX", "PX", _millis(ttl))
        written: bool = await self._batches.ask(_Operation(command, bool))
        return written

    async def swap(self, key: str, old: bytes, new: bytes, ttl: float) -> bool:
        written: bool = await self._batches.ask(_script(_SWAP, [_record(key)], [old, new, _millis(ttl)], bool))
        return written

    async def delete(self, key: str) -> None:
        await self._batches.ask(_Operation(("DEL", _record(key), _log(key)), _nothing))

    async def scan(self, prefix: str) -> Mapping[str, bytes]:
        pattern = _RECORD + _literally(prefix) + "*"
        names: set[bytes] = set()
        cursor: Argument = 0
        while True:
            command = ("SCAN", cursor, "MATCH", pattern, "COUNT", 1000)
            answer = await self._batches.ask(_Operation(command, _as_it_is))
            cursor, found = int(answer[0]), answer[1]
            names.update(found)
            if not cursor:
                break
        if not names:
            return {}
        ordered = sorted(names)
        values = [await self._batches.ask(_Operation(("GET", name), _as_it_is)) for name in ordered]
        keys = [name.decode()[len(_RECORD) : -1] for name in ordered]
        return {key: value for key, value in zip(keys, values, strict=True) if value is not None}

    async def append(self, key: str, pieces: Sequence[bytes], ttl: float) -> None:
        await self._batches.ask(_script(_APPEND, [_log(key)], [_millis(ttl), *pieces], _nothing))

    async def pieces(self, key: str, start: int) -> Sequence[bytes]:
        pieces: Sequence[bytes] = await self._batches.ask(_Operation(("LRANGE", _log(key), start, -1), _as_it_is))
        return pieces

    async def close(self) -> None:
        await self._batches.close()
        await self._redis.aclose()


def _keys(draws: Sequence[Draw], slots: Sequence[Slot]) -> list[str]:
    return [*(_RATE + draw.key for draw in draws), *(_SLOT + slot.key for slot in slots)]


def _taken(draw: Draw) -> tuple[int, int]:
    """What a draw moves a rate's moment on by: microseconds, and the rest in ticks."""
    return divmod(draw.amount * micros(draw.rate.period), draw.rate.limit)


def _decision(answer: Sequence[int], draws: Sequence[Draw], names: Sequence[str]) -> Decision:
    refused, longest, now = answer[:3]
    fulls = [answer[3 + 2 * index] * draw.rate.limit + answer[4 + 2 * index] for index, draw in enumerate(draws)]
    left = tuple([gcra.left(full, now, draw.rate) for draw, full in zip(draws, fulls, strict=True)])
    never = next((draw.key for draw in draws if draw.amount > draw.rate.limit), "")
    if never or not refused:
        return Decision(left, never)
    return Decision(left, names[refused - 1], longest / gcra.MICROS if longest else None)


def _record(key: str) -> str:
    return f"{_RECORD}{key}}}"


def _log(key: str) -> str:
    return f"{_LOG}{key}}}"


def _millis(seconds: float) -> int:
    return min(max(round(seconds * 1000), 1), _LONGEST_LEASE)


def _literally(text: str) -> str:
    """The text as a pattern of Redis that fits nothing else."""
    return "".join("\\" + character if character in "*?[]^\\" else character for character in text)


def _as_it_is(answer: Any) -> Any:
    return answer


def _nothing(answer: Any) -> None:
    return None
