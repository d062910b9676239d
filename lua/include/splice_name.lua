--- The next member's name, in quotes, if it may have escapes; the last position before its value; `left`. A
--- nil name: the object ends at that position.
--- @include splice_string
local function splice_name(text, at, left)
  if left < 0 then return nil, at, left end
  local quote = string.find(text, '[^%s,]', at)
  if string.byte(text, quote) ~= 34 then return nil, quote, left end -- 34: "
  local last
  last, left = splice_string(text, quote, 0, left)
  if left < 0 then return nil, quote, left end
  local _, colon = string.find(text, '^%s*:%s*', last + 1)
  return '"' .. cjson.decode(string.sub(text, quote, last)) .. '"', colon, left - 5 - (last - quote) / 8
end
