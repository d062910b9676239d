--- Read records of one collection, in the order of their keys, until a budget of bytes is used up; the first is always
--- read, so that a caller who asks again for the rest gets on.
--- Replies with: a packed record each, false where there is none; shorter than KEYS when the budget ended it.
--- Flags: no-writes

local records = KEYS    -- strings: packed header, then the body
local budget  = ARGV[1] -- bytes

local found, left = {}, tonumber(budget)
for i, record in ipairs(records) do
  left = left - redis.call('STRLEN', record)
  if left < 0 and i > 1 then break end
  found[i] = redis.call('GET', record)
end
return found
