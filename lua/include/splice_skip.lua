--- Where the JSON value that begins at `at` ends, and the steps that are left; the place is void where these are
--- negative.
--- @include splice_string
--- @include splice_brackets
local function splice_skip(text, at, left)
  local find, byte = string.find, string.byte
  local open = byte(text, at)
  if open == 34 then -- 34: "
    local last = find(text, '"', at + 1, true)
    if byte(text, last - 1) ~= 92 then return last, left - 1 end -- 92: backslash
    return splice_string(text, at, left)
  end
  if open ~= 123 and open ~= 91 then -- 123: {  91: [
    local _, last = find(text, '^[^,%]}%s]*', at)
    return last, left - 1
  end
  -- %b pairs brackets inside of strings too: right where the span, its escapes and then its strings taken out, is a
  -- pair. Wrong, it may cost the rest of the text each time, so it is charged for what it ran over.
  local pair = open == 123 and '^%b{}' or '^%b[]'
  local _, last = find(text, pair, at)
  left = left - 4 - ((last or #text) - at) / 8
  if left < 0 then return at, left end
  if last then
    local quote = find(text, '"', at, true)
    if not quote or quote > last then return last, left end
    local bare = string.sub(text, at, last)
    if find(bare, '\\', 1, true) then bare = string.gsub(bare, '\\.', '') end
    bare = string.gsub(bare, '"[^"]*"', '')
    local _, whole = find(bare, pair)
    if whole == #bare and not find(bare, '"', 1, true) then return last, left end
  end
  return splice_brackets(text, at, open, left)
end
