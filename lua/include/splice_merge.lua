--- Merge the patch's `object` into the object of `text` at `at`. `out` collects the new text, `run` is the first byte of
--- `text` that is not in it yet, `marks` are those of splice_jump. Replies the new `run`, the steps that are left, and
--- where the object ends.
--- @include splice_name
--- @include splice_skip
--- @include splice_jump
--- @include splice_put
--- @include splice_add
local function splice_merge(text, at, patch, object, marks, run, out, left)
  local last, wall, kept, pattern = at, at, false, '^%s*("[^"\\]*")%s*:%s*'
  while true do
    if kept and last >= wall then last, wall, left = splice_jump(text, last, object.members, marks, left) end
    local before, _, colon, name = last, string.find(text, pattern, last + 1)
    if not colon then name, colon, left = splice_name(text, last + 1, left) end
    if left < 0 then return run, left, colon end
    if not name then
      run, left = splice_add(text, at, last, kept, patch, object, run, out, left)
      return run, left, colon
    end
    pattern = '^%s*,%s*("[^"\\]*")%s*:%s*'
    local change = object.members[name]
    local gone = change and change.gone
    if not kept and not gone then
      if before > at then run = string.find(text, ',', before + 1, true) + 1 end
      kept = true
    end
    if change and change.members and string.byte(text, colon + 1) == 123 then -- 123: {
      run, left, last = splice_merge(text, colon + 1, patch, change, marks, run, out, left - 3)
    else
      last, left = splice_skip(text, colon + 1, left - 3)
      if change then
        out[#out + 1] = string.sub(text, run, gone and before or colon)
        if not gone then left = splice_put(patch, change, change.from, out, left) end
        run = last + 1
      end
    end
    if change then change.seen, wall = at, last end
  end
end
