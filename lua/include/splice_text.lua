--- Put the text of a patch value into `out`, without its members that are gone (splice_read.lua), at any
--- depth. `run` is the first byte of the patch that is not in `out` yet. Replies the new `run` and `left`.
local function splice_text(patch, value, run, out, left)
  local before, kept = value.from, false
  local member = value.members and value.members.first
  while member and left >= 0 do
    left = left - 3
    if member.gone then
      out[#out + 1] = string.sub(patch, run, before)
      run = member.to + 1
    else
      if not kept and before > value.from then run = string.find(patch, ',', before + 1, true) + 1 end
      kept = true
      if member.members then run, left = splice_text(patch, member, run, out, left) end
    end
    before, member = member.to, member.following
  end
  return run, left
end
