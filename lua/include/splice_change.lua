--- Put `text` from `run` on into `out`, and instead of the value from `from` to `last` that of `change`; or neither the
--- value nor its member, which begins behind `before`. Replies the new `run` (see splice_merge), and `left`.
--- @include splice_put
local function splice_change(text, run, before, from, last, patch, change, out, left)
  if change.gone then
    out[#out + 1] = string.sub(text, run, before)
    return last + 1, left - 3
  end
  out[#out + 1] = string.sub(text, run, from - 1)
  return last + 1, splice_put(patch, change, change.from, out, left - 3)
end
