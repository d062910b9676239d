--- Insert the members that an object of `text` lacks after its last value, at `last`: those members of the
--- patch's `object` that are not gone and not marked `seen` with the object's position, `at`. `kept`: a
--- member stands before them. Replies the new `run` (splice_merge.lua) and `left`.
--- @include splice_put
local function splice_add(text, at, last, kept, patch, object, run, out, left)
  local before, member = object.from, object.members.first
  while member and left >= 0 do
    left = left - 1
    if not member.gone and member.seen ~= at then
      out[#out + 1] = string.sub(text, run, last)
      run = last + 1
      if kept then out[#out + 1] = ',' end
      kept = true
      left = splice_put(patch, member, string.find(patch, '"', before + 1, true), out, left - 6)
    end
    before, member = member.to, member.following
  end
  return run, left
end
