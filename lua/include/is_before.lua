--- True if one cursor (an id of a stream, two numbers) is before another one.
local function is_before(cursor, other)
  local ms, number = string.match(cursor, '^(%d+)%-(%d+)$')
  local other_ms, other_number = string.match(other, '^(%d+)%-(%d+)$')
  if ms ~= other_ms then return tonumber(ms) < tonumber(other_ms) end
  return tonumber(number) < tonumber(other_number)
end
