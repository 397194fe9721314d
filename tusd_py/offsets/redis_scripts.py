"""The Lua scripts: every change of a record or a claim is one of them, and each is one step.

All keys of a script have the same hash tag, so that a cluster keeps them together:

- ``{id}``, a hash. Of the upload: ``record`` (the `.info` text), ``offset``. Of the claim:
  ``fence``, ``holder``, ``seq`` (of the last save), ``done`` (the last save of a holder that
  left with it), ``askers`` (nodes that wait), ``seized``, ``run`` (see `history`).
- ``{id}:claim``: the holder, for as long as its lease runs. Redis alone looks at a clock.
- ``{id}:gone``: the last fence of an upload that was terminated, for a day.

Offsets and fences are strings and stay strings: Lua's numbers lose digits beyond 2^53 and turn
into ``1e+14`` before that. What a client sends twice, because an answer got lost, changes
nothing the second time.
"""

from __future__ import annotations

import hashlib
from typing import Final


class Script:
    """A script and the name by which Redis remembers it."""

    def __init__(self, text: str) -> None:
        self.text = _COMMON + text
        self.sha = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()


# ARGV[1] is the prefix of node channels, ARGV[2] the upload's id, in all of them.
_COMMON: Final = """
local hash, claim, gone = KEYS[1], KEYS[2], KEYS[3]

-- Names one history of the data: it is another one after a restart or a failover, and whatever
-- was written last in the old one may be missing. '' where ACLs forbid to ask.
local function history()
  local info = redis.pcall('INFO', 'replication')
  return type(info) == 'string' and string.match(info, 'master_replid:(%x+)') or ''
end

local function tell(node, word)
  redis.call('PUBLISH', ARGV[1] .. node, word .. ' ' .. ARGV[2])
end

local function let_go(askers)
  redis.call('DEL', claim)
  for node in string.gmatch(askers or '', '%S+') do tell(node, 'free') end
end
"""

# -> missing | ok, record, offset, fence, whether written in this history, whether not given back,
#    whether somebody has it, or died with it
READ: Final = Script("""
local h = redis.call('HMGET', hash, 'record', 'offset', 'fence', 'run', 'holder', 'seized')
if not h[1] then return {'missing'} end
return {'ok', h[1], h[2], h[3], h[4] == history() and '1' or '0', (h[5] or h[6]) and '1' or '0',
        h[5] and '1' or '0'}
""")

# holder, lease, record, offset -> exists | ok, fence
CREATE: Final = Script("""
local h = redis.call('HMGET', hash, 'record', 'holder', 'fence')
if h[2] == ARGV[3] then return {'ok', h[3]} end  -- only the answer had got lost
if h[1] then return {'exists'} end
-- An id that is used again goes on counting, for the sake of whoever held the old upload.
redis.call('HSET', hash, 'record', ARGV[5], 'offset', ARGV[6], 'holder', ARGV[3], 'seq', '0',
           'fence', string.match(redis.call('GET', gone) or '0', '^%d+'), 'run', history())
redis.call('HINCRBY', hash, 'fence', '1')
redis.call('SET', claim, ARGV[3], 'PX', ARGV[4])
redis.call('DEL', gone)
return {'ok', redis.call('HGET', hash, 'fence')}
""")

# record, offset, fence, 'lost' or '' -> gone | exists | ok
REBUILD: Final = Script("""
if redis.call('EXISTS', hash) == 1 then return {'exists'} end
if redis.call('EXISTS', gone) == 1 then return {'gone'} end
redis.call('HSET', hash, 'record', ARGV[3], 'offset', ARGV[4], 'fence', ARGV[5],
           'run', ARGV[6])
return {'ok'}
""")

# holder, lease, asking node or '' -> missing | gone | held
#                                  | ok, record, offset, fence, seized, history, same history
CLAIM: Final = Script("""
local h = redis.call('HMGET', hash, 'record', 'offset', 'fence', 'holder', 'seized', 'run',
                     'askers')
if not h[1] then return {redis.call('EXISTS', gone) == 1 and 'gone' or 'missing'} end
local live = redis.call('GET', claim)
if live and live ~= ARGV[3] then
  if ARGV[5] ~= '' then
    local askers = h[7] or ''
    if not string.find(' ' .. askers .. ' ', ' ' .. ARGV[5] .. ' ', 1, true) then
      redis.call('HSET', hash, 'askers', askers .. ' ' .. ARGV[5])
    end
    tell(string.match(live, '^[^.]+'), 'want ' .. live)
  end
  return {'held'}
end
local run = history()
if not live then
  redis.call('HINCRBY', hash, 'fence', '1')
  h[3] = redis.call('HGET', hash, 'fence')
  -- Its last holder never gave it back, or this Redis may have forgotten who that is.
  if h[4] or (h[6] ~= run and h[6] ~= '') then
    h[5] = '1'
    redis.call('HSET', hash, 'seized', '1')
  end
  redis.call('HSET', hash, 'holder', ARGV[3], 'seq', '0')
  redis.call('HDEL', hash, 'askers')
end
redis.call('SET', claim, ARGV[3], 'PX', ARGV[4])
return {'ok', h[1], h[2], h[3], h[5] or '0', run, h[6] == run and '1' or '0'}
""")

# holder, fence, history, record, offset, new fence -> lost | ok
VERIFIED: Final = Script("""
local h = redis.call('HMGET', hash, 'holder', 'fence')
if h[1] ~= ARGV[3] then return {'lost'} end
if h[2] ~= ARGV[4] and h[2] ~= ARGV[8] then return {'lost'} end
redis.call('HSET', hash, 'run', ARGV[5], 'record', ARGV[6], 'offset', ARGV[7], 'fence', ARGV[8])
return {'ok'}
""")

# holder, fence, lease, seq, offset, record or '', no longer seized, release -> lost | ok, wanted
SAVE: Final = Script("""
local h = redis.call('HMGET', hash, 'holder', 'fence', 'seq', 'askers', 'done')
if h[5] == ARGV[3] .. ':' .. ARGV[6] then return {'ok', '0'} end  -- it was the last one
if h[1] ~= ARGV[3] or h[2] ~= ARGV[4] then return {'lost'} end
-- What was overtaken by a later save (two connections, one slow) must not undo that.
if tonumber(ARGV[6]) > tonumber(h[3]) then
  redis.call('HSET', hash, 'offset', ARGV[7], 'seq', ARGV[6])
  if ARGV[8] ~= '' then redis.call('HSET', hash, 'record', ARGV[8]) end
  if ARGV[9] == '1' then redis.call('HDEL', hash, 'seized') end
end
if ARGV[10] == '1' then
  redis.call('HSET', hash, 'done', ARGV[3] .. ':' .. ARGV[6])
  redis.call('HDEL', hash, 'holder', 'askers')
  let_go(h[4])
else
  redis.call('SET', claim, ARGV[3], 'PX', ARGV[5])
end
return {'ok', h[4] and '1' or '0'}
""")

# holder, lease -> lost | ok, wanted
RENEW: Final = Script("""
local h = redis.call('HMGET', hash, 'holder', 'askers')
if h[1] ~= ARGV[3] then return {'lost'} end
redis.call('SET', claim, ARGV[3], 'PX', ARGV[4])
return {'ok', h[2] and '1' or '0'}
""")

# holder, whether it is given back as one that was lost -> ok
RELEASE: Final = Script("""
local h = redis.call('HMGET', hash, 'holder', 'askers')
if h[1] == ARGV[3] then
  if ARGV[4] == '1' then redis.call('HSET', hash, 'seized', '1') end
  redis.call('HDEL', hash, 'holder', 'askers')
  let_go(h[2])
end
return {'ok'}
""")

# holder, fence or '' if the answer with it got lost, seconds to remember it -> missing | lost | ok
REMOVE: Final = Script("""
if string.match(redis.call('GET', gone) or '', ':(.*)$') == ARGV[3] then return {'ok'} end
local h = redis.call('HMGET', hash, 'holder', 'fence', 'askers', 'done')
if not h[2] then return {'missing'} end
-- A save that gave the claim back, and whose answer got lost, does not make it somebody else's.
local ours = h[1] == ARGV[3]
  or not h[1] and string.sub(h[4] or '', 1, #ARGV[3] + 1) == ARGV[3] .. ':'
if not ours or (ARGV[4] ~= '' and h[2] ~= ARGV[4]) then return {'lost'} end
redis.call('DEL', hash)
redis.call('SET', gone, h[2] .. ':' .. ARGV[3], 'EX', ARGV[5])
let_go(h[3])
return {'ok'}
""")

# '1' when the index has been made anew -> history in which that was last, history now
INDEXED: Final = Script("""
local run = history()
if ARGV[3] == '1' then redis.call('HSET', hash, 'run', run) end
return {redis.call('HGET', hash, 'run') or 'never', run}
""")
