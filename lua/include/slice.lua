--- The ids (the last 6 bytes of each member) of a slice of a sorted set, newest first. The slice lies between
--- the ranks `from` and `upto` (exclusive), and begins `offset` members before its end.
local function slice(set, from, upto, offset, limit)
  local last = upto - 1 - offset
  local first = math.max(from, last - limit + 1)
  if last < first then return {} end
  local ids, members = {}, redis.call('ZRANGE', set, first, last)
  for i = #members, 1, -1 do ids[#ids + 1] = string.sub(members[i], -6) end
  return ids
end
