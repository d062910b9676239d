--- The end of the JSON string that begins at `at`, and `left`. Up to `slash` the text has no backslash.
local function splice_string(text, at, slash, left)
  local last = string.find(text, '"', at + 1, true)
  while last > slash do
    local char = last - 1
    while string.byte(text, char) == 92 and left >= 0 do char, left = char - 1, left - 1 end -- 92: backslash
    if (last - char) % 2 == 1 or left < 0 then break end -- an even number of backslashes does not escape the quote
    last, left = string.find(text, '"', last + 1, true), left - 2
  end
  return last, left - 1
end
