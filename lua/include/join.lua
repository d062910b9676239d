--- The text of a JSON value with another value appended, nil if the two do not fit: to an array the elements
--- of an array, or any other value; to an object the members of an object (a member of that name gets the new
--- value); to a string a string. What was there keeps its bytes. The second result, `left`, is the rest of
--- the budget (splice.lua); below 0, the first one means nothing. service/storage/records/join.py computes
--- the same bytes.
--- @include splice
--- @include splice_back
local function join(text, value, left)
  local find, byte, sub = string.find, string.byte, string.sub
  if byte(text) == 91 and byte(value) == 123 and byte(value, -1) == 125 then -- an object to an array: 123: {  125: }
    local before, last = byte(text, -2, -1)
    if before == 125 and last == 93 then return sub(text, 1, -2) .. ',' .. value .. ']', left end
  end
  local from, first = find(text, '%S'), find(value, '%S')
  local kind, added = byte(text, from), byte(value, first)
  if kind == 123 and added == 123 then -- 123: {
    local joined = splice(text, value, left, true)
    return joined, joined and left or -1
  end
  local at, last
  at, left = splice_back(text, #text + 1, left)
  last, left = splice_back(value, #value + 1, left)
  if kind == 34 and added == 34 then -- 34: "
    return sub(text, 1, at - 1) .. sub(value, first + 1, last) .. sub(text, at + 1), left
  end
  if kind ~= 91 then return nil, left end -- 91: [
  if added == 91 then
    first = find(value, '%S', first + 1)
    if first == last then return text, left end
    last, left = splice_back(value, last, left)
  end
  at, left = splice_back(text, at, left)
  return sub(text, 1, at) .. (at > from and ',' or '') .. sub(value, first, last) .. sub(text, at + 1), left
end
