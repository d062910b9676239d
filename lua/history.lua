--- Read the entries of one record in a journal, newest first, without values. One call searches a part of the journal.
--- Replies with: the cursor at which it stopped ('' = at the oldest entry), and for each entry its cursor and packed
--- header, in one list.
--- Flags: no-writes

local stream = KEYS[1] -- stream: an entry for each change

local start  = ARGV[1] -- the packed id of the record: what follows the first byte of its packed headers
local before = ARGV[2] -- the cursor before which to begin; '' = at the newest entry
local limit  = ARGV[3] -- most entries
local most   = ARGV[4] -- most entries to look at; and no more after 1 MB of values

--- @include journal_entry

local found, seen, bytes, position = {}, 0, 0, before == '' and '+' or '(' .. before
while seen < tonumber(most) and bytes < 1000000 do
  local portion = redis.call('XREVRANGE', stream, position, '-', 'COUNT', '32')
  for _, entry in ipairs(portion) do
    local header, value = journal_entry(entry[2])
    if string.sub(header, 2, #start + 1) == start then
      found[#found + 1], found[#found + 2] = entry[1], header
      if #found == 2 * limit then return {entry[1], found} end
    end
    bytes, position = bytes + #value, '(' .. entry[1]
  end
  if #portion < 32 then return {'', found} end
  seen = seen + 32
end
return {string.sub(position, 2), found}
