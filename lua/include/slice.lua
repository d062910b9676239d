--- A slice of a sorted set between two ranks, `upto` exclusive, from its end: the last 6 bytes, an id, of each member.
local function slice(set, from, upto, offset, limit)
  local last = upto - 1 - offset
  local first = math.max(from, last - limit + 1)
  if last < first then return {} end
  local ids, members = {}, redis.call('ZRANGE', set, first, last)
  for i = #members, 1, -1 do ids[#ids + 1] = string.sub(members[i], -6) end
  return ids
end
