--- The last position before `at` that is not white space, and `left`.
local function splice_back(text, at, left)
  repeat
    at, left = at - 1, left - 1
    local char = string.byte(text, at)
  until char ~= 32 and char ~= 10 and char ~= 13 and char ~= 9 or left < 0
  return at, left
end
