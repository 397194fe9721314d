"""The Lua scripts of the ledger in Redis.

All keys begin with KEYS[1], which has a hash tag, so that a cluster keeps them together:

- ``:accounts``, a hash: upload -> ``<size> <open: 0 or 1> <entered at> <holder>``.
- ``:held:<holder>``, a hash: ``open``, ``bytes``, ``next_at``. A holder is ``owner:<owner>``,
  ``nobody``, or ``server`` for all together. It is forgotten when it has been at rest.
- ``:pot:<pot>``, a number: when it is free again. It is forgotten when it is.

Sums of bytes are changed by HINCRBYFLOAT, which is exact far beyond what Lua's numbers hold, and
never fails for being too large; Lua only ever sees the sizes of single uploads exactly.
"""

from __future__ import annotations

from typing import Final

_COMMON: Final = """
local root = KEYS[1]
local accounts = root .. ':accounts'
local MINUTE, ROUNDING, REST = 60, 0.001, 120

local function find(upload)
  local text = redis.call('HGET', accounts, upload)
  if not text then return nil end
  local size, open, at, holder = string.match(text, '^(%d+) (%d) (%S+) (.*)$')
  return {size = tonumber(size), open = tonumber(open), at = at, holder = holder}
end

local function apply(holder, open, bytes, next_at)
  local key = root .. ':held:' .. holder
  local left = redis.call('HINCRBY', key, 'open', string.format('%d', open))
  local sum = redis.call('HINCRBYFLOAT', key, 'bytes', string.format('%.0f', bytes))
  if next_at then redis.call('HSET', key, 'next_at', string.format('%.6f', next_at)) end
  if left == 0 and tonumber(sum) == 0 then redis.call('EXPIRE', key, REST)
  else redis.call('PERSIST', key) end
end
"""

# upload, holder, size, open, now, then for owner and server: open, bytes, new ones a minute
ENTER: Final = (
    _COMMON
    + """
local upload, holder, size, open = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local now = tonumber(ARGV[5])
local old = find(upload)
if old and old.holder ~= holder then return {'owner', 'exists', ''} end
local more_open = open - (old and old.open or 0)
local more_bytes = size - (old and old.size or 0)
local next_at = {}

local function refused(who, whose, first)
  local held = redis.call('HMGET', root .. ':held:' .. who, 'open', 'bytes', 'next_at')
  local most = tonumber(ARGV[first])
  if most and more_open > 0 and tonumber(held[1] or '0') + more_open > most then
    return {whose, 'open', ''}
  end
  most = tonumber(ARGV[first + 1])
  if most and more_bytes > 0 and tonumber(held[2] or '0') + more_bytes > most then
    return {whose, 'bytes', held[2] or '0'}
  end
  local per_minute = tonumber(ARGV[first + 2])
  if per_minute and not old then
    if per_minute <= 0 then return {whose, 'rate', tostring(MINUTE)} end
    local after = math.max(tonumber(held[3] or '0'), now) + MINUTE / per_minute
    local wait = after - now - MINUTE
    if wait > ROUNDING then return {whose, 'rate', string.format('%.3f', wait)} end
    next_at[whose] = after
  end
  return nil
end

local no = refused(holder, 'owner', 6) or refused('server', 'server', 9)
if no then return no end
apply(holder, more_open, more_bytes, next_at.owner)
apply('server', more_open, more_bytes, next_at.server)
local at = old and old.at or ARGV[5]
redis.call('HSET', accounts, upload, ARGV[3] .. ' ' .. ARGV[4] .. ' ' .. at .. ' ' .. holder)
return {}
"""
)

# upload
LEAVE: Final = (
    _COMMON
    + """
local old = find(ARGV[1])
if not old then return 0 end
apply(old.holder, -old.open, -old.size)
apply('server', -old.open, -old.size)
return redis.call('HDEL', accounts, ARGV[1])
"""
)

# holder
COUNTS: Final = (
    _COMMON
    + """
local held = redis.call('HMGET', root .. ':held:' .. ARGV[1], 'open', 'bytes')
return {held[1] or '0', held[2] or '0'}
"""
)

# pot, bytes, rate, now
SPEND: Final = (
    _COMMON
    + """
local key, now = root .. ':pot:' .. ARGV[1], tonumber(ARGV[4])
local turn = math.max(tonumber(redis.call('GET', key) or '0'), now)
local free = turn + tonumber(ARGV[2]) / tonumber(ARGV[3])
redis.call('SET', key, string.format('%.6f', free), 'PX', math.ceil((free - now) * 1000) + 1000)
return string.format('%.6f', turn - now)
"""
)
