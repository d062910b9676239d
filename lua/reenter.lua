--- Add an entry of an exported journal, if its cursor is higher than all existing ones. Its total continues from the
--- bytes of this journal. A journal without a count of bytes begins with the bytes that were removed on the other
--- server. A journal that never had an entry begins after the last cursor that was removed there, so that later
--- changes have higher cursors.
--- Replies with: 1 if the entry was added, 0 if its cursor is not higher than all existing ones.

local stream = KEYS[1] -- stream: an entry for each change
local state  = KEYS[2] -- hash: see include/enter_change.lua and include/trim_portion.lua

local cursor  = ARGV[1] -- of the entry; '' if there is none, and only what was removed is set
local trimmed = ARGV[2] -- cursor of the last entry that was removed before all others; '' if it is not to be set
local freed   = ARGV[3] -- bytes of all entries that were removed before this one; '' if they are not to be set
local weight  = ARGV[4] -- bytes that the entry counts
local header  = ARGV[5] -- packed, without its last value, the total
local value   = ARGV[6] -- '' if none is kept

if trimmed ~= '' and redis.call('EXISTS', stream) == 0 then
  redis.call('XDEL', stream, redis.call('XADD', stream, trimmed, 'h', ''))
  redis.call('HSET', state, 'trimmed', trimmed)
end
local bytes = redis.call('HGET', state, 'bytes')
if not bytes and freed ~= '' then
  bytes = freed
  redis.call('HSET', state, 'bytes', bytes)
  if freed ~= '0' then redis.call('HSET', state, 'freed', freed) end
end
if cursor == '' then return 1 end
local total = bytes + weight
local added = redis.pcall('XADD', stream, cursor, header .. cmsgpack.pack(total), value)
if type(added) == 'table' then
  if string.find(added.err, 'equal or smaller', 1, true) then return 0 end
  return added
end
redis.call('HSET', state, 'bytes', string.format('%.0f', total))
return 1
