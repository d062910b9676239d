--- Merge the patch's `object` into the object of `text` at `at`. `out` collects the new text; `run` is the
--- first byte of `text` that is not in it yet; `marks` belong to splice_jump.lua. Replies the new `run`,
--- `left`, and the object's end.
--- @include splice_name
--- @include splice_skip
--- @include splice_jump
--- @include splice_change
--- @include splice_add
local function splice_merge(text, at, patch, object, marks, run, out, left)
  local find, members = string.find, object.members
  local last, wall, walked, kept, pattern = at, at, 0, false, '^%s*("[^"\\]*")%s*:%s*("?)'
  while true do
    if walked > 3 and last >= wall and #text - last > 99 then -- earlier or later it costs more than it saves
      last, wall, walked, left = splice_jump(text, last, members, marks, left)
    end
    local before, _, from, name, quote = last, find(text, pattern, last + 1)
    if not from then name, from, left = splice_name(text, last + 1, left) end
    if not name and left >= 0 then run, left = splice_add(text, at, last, kept, patch, object, run, out, left) end
    if not name or left < 0 then return run, left, from end
    pattern = '^%s*,%s*("[^"\\]*")%s*:%s*("?)'
    if quote ~= '"' then from = from + 1 end
    local change = members[name]
    if not kept and not (change and change.gone) then
      if before > at then run = find(text, ',', before + 1, true) + 1 end
      kept = true
    end
    if change and change.members and string.byte(text, from) == 123 then -- 123: {
      run, left, last = splice_merge(text, from, patch, change, marks, run, out, left - 8 - (from - before) / 16)
    else
      last, left = quote == '"' and find(text, quote, from + 1, true), left - 4 - (from - before) / 16
      if not last or last > marks['\\'] then last, left = splice_skip(text, from, marks['\\'], left) end
      if change then run, left = splice_change(text, run, before, from, last, patch, change, out, left) end
    end
    if change then change.seen, wall = at, last else walked = walked + 1 end
  end
end
