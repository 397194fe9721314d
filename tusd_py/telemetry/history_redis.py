"""A history in Redis, shared by all nodes.

All keys begin with KEYS[1], which has a hash tag, so that a cluster keeps them together:

- ``:counts:<step>:<start>``, a hash: counts by name, for one step of a period.
- ``:batch:<id>``: a batch that has been added.
- ``:board``, a hash: by process, until when its notice is of use, a blank, and the notice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from ..interfaces.history import Batch, Counts, Period, steps_of
from ..redis_client.address import RedisOptions
from ..redis_client.scripts import ScriptRunner, pairs

_BATCHES_KNOWN_S = 600

# batch, how long it is known, then for each step: its key, how long it is kept, how many names,
# and that many names and counts
_ADD: Final = """
if not redis.call('SET', KEYS[1] .. ':batch:' .. ARGV[1], '', 'NX', 'EX', ARGV[2]) then return end
local i = 3
while i <= #ARGV do
  local key = KEYS[1] .. ARGV[i]
  local last = i + 2 + 2 * tonumber(ARGV[i + 2])
  for j = i + 3, last, 2 do redis.call('HINCRBY', key, ARGV[j], ARGV[j + 1]) end
  redis.call('EXPIRE', key, ARGV[i + 1])
  i = last + 1
end
"""

# keys of steps -> their counts
_READ: Final = """
local found = {}
for i = 1, #ARGV do found[i] = redis.call('HGETALL', KEYS[1] .. ARGV[i]) end
return found
"""

# process, until, notice
_POST: Final = """
redis.call('HSET', KEYS[1] .. ':board', ARGV[1], ARGV[2] .. ' ' .. ARGV[3])
redis.call('EXPIRE', KEYS[1] .. ':board', 3600)
"""

# now -> notices
_BOARD: Final = """
local notices, board = {}, redis.call('HGETALL', KEYS[1] .. ':board')
for i = 1, #board, 2 do
  local till, notice = string.match(board[i + 1], '^(%S+) (.*)$')
  if tonumber(till) > tonumber(ARGV[1]) then table.insert(notices, notice)
  else redis.call('HDEL', KEYS[1] .. ':board', board[i]) end
end
return notices
"""


class RedisHistory:
    """Implements `History` in Redis."""

    def __init__(self, options: RedisOptions) -> None:
        self._redis = ScriptRunner(options, "history")

    async def open(self) -> None:
        await self._redis.open()

    async def close(self) -> None:
        await self._redis.close()

    async def add(self, batch: Batch, now: float) -> None:
        words: list[str | float] = []
        for period in Period:
            for start, counts in steps_of(batch.minutes, period).items():
                words += [_key(period, start), _kept_s(period, start, now), len(counts)]
                words += [word for pair in counts.items() for word in pair]
        await self._redis.run(_ADD, batch.id, _BATCHES_KNOWN_S, *words)

    async def read(self, period: Period, now: float) -> Mapping[int, Counts]:
        first = period.first_of(now)
        starts = range(first, first + period.steps * period.step_s, period.step_s)
        found = await self._redis.run(_READ, *[_key(period, start) for start in starts])
        return {
            start: {name: int(count) for name, count in pairs(counts).items()}
            for start, counts in zip(starts, found, strict=True)
            if counts
        }

    async def post(self, process: str, notice: str, *, until: float) -> None:
        await self._redis.run(_POST, process, until, notice)

    async def board(self, now: float) -> Sequence[str]:
        notices: Sequence[str] = await self._redis.run(_BOARD, now)
        return notices


def _key(period: Period, start: int) -> str:
    return f":counts:{period.step_s}:{start}"


def _kept_s(period: Period, start: int, now: float) -> int:
    """Until it can no more be looked back at; a clock that is wrong does not make it longer."""
    last = start + period.step_s * period.steps
    return max(1, min(int(last - now), period.step_s * period.steps))
