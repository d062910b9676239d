--- The upper bound, for ZRANGEBYSCORE, of the members of an expiry set that have expired at `moment` (us, a text):
--- strictly before that millisecond, like Redis's own expiry.
local function due(moment)
  return '(' .. string.sub(moment, 1, -4)
end
