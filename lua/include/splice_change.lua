--- Replace or remove one value. `text` from `run` up to the value goes into `out`. If `change` is gone, the
--- member that begins after `before` is left out; else the value from `from` to `last` is replaced by that of
--- `change`. Replies the new `run` (splice_merge.lua) and `left`.
--- @include splice_put
local function splice_change(text, run, before, from, last, patch, change, out, left)
  if change.gone then
    out[#out + 1] = string.sub(text, run, before)
    return last + 1, left - 3
  end
  out[#out + 1] = string.sub(text, run, from - 1)
  return last + 1, splice_put(patch, change, change.from, out, left - 3)
end
