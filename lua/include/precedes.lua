--- True if a text is before another one by its bytes, as in sorted sets. Lua's own comparison uses the locale of the
--- server.
local function precedes(one, other)
  for i = 1, math.min(#one, #other) do
    local a, b = string.byte(one, i), string.byte(other, i)
    if a ~= b then return a < b end
  end
  return #one < #other
end
