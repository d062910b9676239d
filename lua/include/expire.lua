--- Remove up to `limit` members that are due at `moment` (us, a text) from the indexes. Replies their number and
--- their bytes.
--- @include due
--- @include forget
local function expire(expiry, indexes, kinds, moment, limit)
  local ids = redis.call('ZRANGEBYSCORE', expiry, '-inf', due(moment), 'LIMIT', '0', limit)
  if #ids == 0 then return 0, 0 end
  return #ids, forget(ids, expiry, indexes, kinds)
end
