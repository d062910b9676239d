--- Remove up to `limit` due members from the indexes. Replies their number and their bytes.
--- @include due
--- @include forget
local function expire(expiry, indexes, kinds, at, limit)
  local ids = redis.call('ZRANGEBYSCORE', expiry, '-inf', due(at), 'LIMIT', 0, limit)
  if #ids == 0 then return 0, 0 end
  return #ids, forget(ids, expiry, indexes, kinds)
end
