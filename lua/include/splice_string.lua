--- Where the JSON string that begins at `at` ends, and the steps that are left; the place is void where these are
--- negative.
local function splice_string(text, at, left)
  local last = at
  repeat
    last = string.find(text, '"', last + 1, true)
    local slash = last - 1
    while string.byte(text, slash) == 92 and left >= 0 do slash, left = slash - 1, left - 1 end -- 92: backslash
    left = left - 1
  until (last - slash) % 2 == 1 or left < 0 -- an even number of backslashes does not escape the quote
  return last, left
end
