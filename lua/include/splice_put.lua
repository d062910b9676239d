--- Put the patch from `from` to the end of `value` into `out`, as it is inserted. Replies `left`.
--- @include splice_text
local function splice_put(patch, value, from, out, left)
  left = left - 1 - (value.to - from) / 16
  if value.members then from, left = splice_text(patch, value, from, out, left) end
  out[#out + 1] = string.sub(patch, from, value.to)
  return left
end
