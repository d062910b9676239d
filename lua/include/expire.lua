--- Remove up to `limit` members that have expired at `moment` (us, a text) from the indexes, and enter their expiries
--- into `journal` (nil: there is none). Replies their number, their bytes, and the bytes by which the journal grew.
--- @include due
--- @include forget
--- @include enter_expired
local function expire(expiry, indexes, kinds, moment, limit, journal)
  local ids = redis.call('ZRANGEBYSCORE', expiry, '-inf', due(moment), 'LIMIT', '0', limit)
  if #ids == 0 then return 0, 0, 0 end
  return #ids, forget(ids, expiry, indexes, kinds), journal and enter_expired(journal, ids, tonumber(moment)) or 0
end
