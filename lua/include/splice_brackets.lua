--- The end of the array or object that begins at `at` with the byte `open`, found bracket by bracket, and
--- `left`.
--- @include splice_string
local function splice_brackets(text, at, open, left)
  local stop, depth = open == 123 and '["{}]' or '["%[%]]', 0 -- 123: {
  while left >= 0 do
    local char = string.byte(text, at)
    if char == 34 then -- 34: "
      at, left = splice_string(text, at, 0, left)
    else
      depth = depth + (char == open and 1 or -1)
      if depth == 0 then return at, left end
    end
    at, left = string.find(text, stop, at + 1) or at, left - 2
  end
  return at, left
end
