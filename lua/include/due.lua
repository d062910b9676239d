--- The end of the due part of an expiry set at the time `at` (us), as a ZRANGEBYSCORE bound: strictly before
--- that millisecond, like Redis's own expiry.
local function due(at)
  return '(' .. string.format('%.0f', math.floor(at / 1000))
end
