--- Take up to `limit` due members out of the indexes; replies how many they were and the bytes they stood for.
--- Due is strictly before `at` (microseconds), as Redis's own expiry reckons.
--- @include forget
local function expire(expiry, indexes, kinds, at, limit)
  local due = redis.call('ZRANGEBYSCORE', expiry, '-inf', '(' .. string.format('%.0f', math.floor(at / 1000)), 'LIMIT', 0, limit)
  if #due == 0 then return 0, 0 end
  return #due, forget(due, expiry, indexes, kinds)
end
