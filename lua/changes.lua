--- Read entries of a journal, oldest first.
--- Replies with: the cursor of the last entry that was removed ('' = none), 1 if there are more entries after these
--- (else 0), and for each entry its cursor, packed header and value, in one list.
--- Refuses: TRIMMED (an entry after the cursor was removed), UNKNOWNCURSOR (the journal never had an entry there, or Redis
--- lost it in a failover); each with the cursor that stands before all entries.
--- Flags: no-writes

local stream = KEYS[1] -- stream: an entry for each change
local state  = KEYS[2] -- hash: see include/trim_portion.lua

local after = ARGV[1] -- the cursor after which to begin; '' = at the oldest entry
local limit = ARGV[2] -- most entries
local most  = ARGV[3] -- bytes of values after which no further entry is added

--- @include is_before
--- @include journal_entry

local trimmed = redis.call('HGET', state, 'trimmed') or ''
local start = trimmed == '' and '0-0' or trimmed
if after ~= '' and after ~= start then
  if is_before(after, start) then return redis.error_reply(string.format('TRIMMED %s', start)) end
  if not redis.call('XRANGE', stream, after, after)[1] then
    return redis.error_reply(string.format('UNKNOWNCURSOR %s', start))
  end
end
local found, count, bytes, position = {}, 0, 0, after == '' and '-' or '(' .. after
while true do
  local portion = redis.call('XRANGE', stream, position, '+', 'COUNT', '32')
  for _, entry in ipairs(portion) do
    if count == tonumber(limit) or bytes > tonumber(most) then return {trimmed, 1, found} end
    local header, value = journal_entry(entry[2])
    found[#found + 1], found[#found + 2], found[#found + 3] = entry[1], header, value
    count, bytes, position = count + 1, bytes + #value, '(' .. entry[1]
  end
  if #portion < 32 then return {trimmed, 0, found} end
end
