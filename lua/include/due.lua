--- The end of the due part of an expiry set at the time `moment` (us, a text), as a ZRANGEBYSCORE bound:
--- strictly before that millisecond, like Redis's own expiry.
local function due(moment)
  return '(' .. string.sub(moment, 1, -4)
end
