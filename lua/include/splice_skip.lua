--- The end of the JSON value that begins at `at`, and `left`. Between them and up to `slash` the text has no
--- backslash.
--- @include splice_string
--- @include splice_brackets
local function splice_skip(text, at, slash, left)
  local find = string.find
  local open = string.byte(text, at)
  if open == 34 then return splice_string(text, at, slash, left) end -- 34: "
  if open ~= 123 and open ~= 91 then -- 123: {  91: [
    local _, last = find(text, '^[%w.+-]*', at)
    return last, left - 1 - (last - at) / 16
  end
  -- %b counts brackets inside of strings too. Its result is right if the span is a pair without its escapes and
  -- strings. A wrong result may span the whole text each time, so the budget is charged for the span.
  local pair = open == 123 and '^%b{}' or '^%b[]'
  local _, last = find(text, pair, at)
  left = left - 4 - ((last or #text) - at) / 8
  if left < 0 then return at, left end
  if last then
    local quote = find(text, '"', at, true)
    if not quote or quote > last then return last, left end
    local bare = string.sub(text, at, last)
    if slash < last then bare = string.gsub(bare, '\\.', '') end
    bare = string.gsub(bare, '[,:]?"[^"]*"', '')
    local _, whole = find(bare, pair)
    if whole == #bare and not find(bare, '"', 1, true) then return last, left end
  end
  return splice_brackets(text, at, open, left)
end
