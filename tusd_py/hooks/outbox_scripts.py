"""The Lua scripts of the outbox in Redis.

All keys begin with KEYS[1], which has a hash tag, so that a cluster keeps them together:

- ``:entry:<id>``, a hash: one event for one receiver. ``event`` (JSON), ``event_id``,
  ``receiver``, ``upload``, ``state``, ``attempts``, ``due_at``, ``leased_until``, ``error``.
- ``:upload:<id>``, a list: the entries of an upload, in their order.
- ``:due``, a sorted set: uploads by the time at which one of their entries may be delivered.
- ``:prepared``, a sorted set: entries that are not settled, by the time they were prepared.
- ``:all``, a sorted set: all entries, by a number that grows.

Times are seconds since the epoch, from the clock of whoever calls; only order depends on them.
"""

from __future__ import annotations

from typing import Final

_COMMON: Final = """
local root = KEYS[1]
local function key(kind, id) return root .. ':' .. kind .. ':' .. id end

-- Of each receiver only the first entry that was not given up may be delivered.
local function heads(upload)
  local found, seen = {}, {}
  for _, id in ipairs(redis.call('LRANGE', key('upload', upload), 0, -1)) do
    local e = redis.call('HMGET', key('entry', id), 'receiver', 'state', 'due_at', 'leased_until')
    if e[2] ~= 'given up' and not seen[e[1]] then
      seen[e[1]] = true
      if e[2] == 'pending' then
        table.insert(found, {id, math.max(tonumber(e[3]), tonumber(e[4]))})
      end
    end
  end
  return found
end

local function refresh(upload)
  local earliest = nil
  for _, head in ipairs(heads(upload)) do
    if not earliest or head[2] < earliest then earliest = head[2] end
  end
  if earliest then redis.call('ZADD', root .. ':due', earliest, upload)
  else redis.call('ZREM', root .. ':due', upload) end
end

local function forget(id)
  local upload = redis.call('HGET', key('entry', id), 'upload')
  if not upload then return end
  redis.call('DEL', key('entry', id))
  redis.call('LREM', key('upload', upload), 1, id)
  redis.call('ZREM', root .. ':prepared', id)
  redis.call('ZREM', root .. ':all', id)
  refresh(upload)
end

-- Events that are prepared, without those whose ids are in `but`.
local function unsettled(upload, but)
  local events, seen = {}, but
  for _, id in ipairs(redis.call('LRANGE', key('upload', upload), 0, -1)) do
    local e = redis.call('HMGET', key('entry', id), 'event_id', 'state', 'event')
    if e[2] == 'prepared' and not seen[e[1]] then
      seen[e[1]] = true
      table.insert(events, e[3])
    end
  end
  return events
end
"""

# now, upload, then for each entry: id, event id, receiver, event -> events unsettled before
PREPARE: Final = (
    _COMMON
    + """
local own = {}
for i = 4, #ARGV, 4 do own[ARGV[i]] = true end
local left = unsettled(ARGV[2], own)
for i = 3, #ARGV, 4 do
  local id = ARGV[i]
  -- What is sent twice, because an answer got lost, is there once.
  if redis.call('EXISTS', key('entry', id)) == 0 then
    redis.call('HSET', key('entry', id), 'event_id', ARGV[i + 1], 'receiver', ARGV[i + 2],
               'event', ARGV[i + 3], 'upload', ARGV[2], 'state', 'prepared', 'attempts', '0',
               'due_at', '0', 'leased_until', '0', 'error', '')
    redis.call('RPUSH', key('upload', ARGV[2]), id)
    redis.call('ZADD', root .. ':prepared', ARGV[1], id)
    redis.call('ZADD', root .. ':all', redis.call('INCR', root .. ':seq'), id)
  end
end
return left
"""
)

# confirm | withdraw, upload, event ids
SETTLE: Final = (
    _COMMON
    + """
local wanted = {}
for i = 3, #ARGV do wanted[ARGV[i]] = true end
for _, id in ipairs(redis.call('LRANGE', key('upload', ARGV[2]), 0, -1)) do
  local e = redis.call('HMGET', key('entry', id), 'event_id', 'state')
  if wanted[e[1]] and e[2] == 'prepared' then
    if ARGV[1] == 'confirm' then
      redis.call('HSET', key('entry', id), 'state', 'pending')
      redis.call('ZREM', root .. ':prepared', id)
    else forget(id) end
  end
end
refresh(ARGV[2])
"""
)

# upload -> events
UNSETTLED: Final = _COMMON + "return unsettled(ARGV[1], {})"

# before, limit -> uploads
ABANDONED: Final = (
    _COMMON
    + """
local uploads, seen = {}, {}
local old = redis.call('ZRANGEBYSCORE', root .. ':prepared', '-inf', '(' .. ARGV[1],
                       'LIMIT', 0, ARGV[2])
for _, id in ipairs(old) do
  local upload = redis.call('HGET', key('entry', id), 'upload')
  if not seen[upload] then
    seen[upload] = true
    table.insert(uploads, upload)
  end
end
return uploads
"""
)

# now, until, limit -> entries
LEASE: Final = (
    _COMMON
    + """
local entries, now, limit = {}, tonumber(ARGV[1]), tonumber(ARGV[3])
local due = redis.call('ZRANGEBYSCORE', root .. ':due', '-inf', ARGV[1], 'LIMIT', 0, limit)
for _, upload in ipairs(due) do
  for _, head in ipairs(heads(upload)) do
    if head[2] <= now and #entries < limit then
      redis.call('HSET', key('entry', head[1]), 'leased_until', ARGV[2])
      table.insert(entries, redis.call('HGETALL', key('entry', head[1])))
    end
  end
  refresh(upload)
end
return entries
"""
)

# id, until
RENEW: Final = (
    _COMMON
    + """
local upload = redis.call('HGET', key('entry', ARGV[1]), 'upload')
if upload then
  redis.call('HSET', key('entry', ARGV[1]), 'leased_until', ARGV[2])
  refresh(upload)
end
"""
)

# id
DONE: Final = _COMMON + "forget(ARGV[1])"

# id, state, due, error
FAILED: Final = (
    _COMMON
    + """
local upload = redis.call('HGET', key('entry', ARGV[1]), 'upload')
if upload then
  redis.call('HINCRBY', key('entry', ARGV[1]), 'attempts', 1)
  redis.call('HSET', key('entry', ARGV[1]), 'state', ARGV[2], 'due_at', ARGV[3],
             'leased_until', '0', 'error', ARGV[4])
  refresh(upload)
end
"""
)

# limit -> entries
ENTRIES: Final = (
    _COMMON
    + """
local entries = {}
for _, id in ipairs(redis.call('ZRANGE', root .. ':all', 0, tonumber(ARGV[1]) - 1)) do
  table.insert(entries, redis.call('HGETALL', key('entry', id)))
end
return entries
"""
)

# -> prepared, pending, given up
COUNTS: Final = (
    _COMMON
    + """
local prepared, given_up = redis.call('ZCARD', root .. ':prepared'), 0
local all = redis.call('ZRANGE', root .. ':all', 0, -1)
for _, id in ipairs(all) do
  if redis.call('HGET', key('entry', id), 'state') == 'given up' then given_up = given_up + 1 end
end
return {prepared, #all - prepared - given_up, given_up}
"""
)

# event id or '', now -> count
RETRY: Final = (
    _COMMON
    + """
local count = 0
for _, id in ipairs(redis.call('ZRANGE', root .. ':all', 0, -1)) do
  local e = redis.call('HMGET', key('entry', id), 'event_id', 'attempts', 'upload')
  if tonumber(e[2]) > 0 and (ARGV[1] == '' or ARGV[1] == e[1]) then
    count = count + 1
    redis.call('HSET', key('entry', id), 'state', 'pending', 'due_at', ARGV[2],
               'leased_until', '0')
    refresh(e[3])
  end
end
return count
"""
)
