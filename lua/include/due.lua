--- Where the part of an expiry set that is due at `at` (us) ends: strictly before that millisecond, as Redis's own
--- expiry reckons.
local function due(at)
  return '(' .. string.format('%.0f', math.floor(at / 1000))
end
