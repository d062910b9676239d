--- Read the patch object at `object.from`. `members` maps names in quotes to members, and `first` to the
--- first one, which leads to the others in their order; `to` is the object's end. Replies `left`. A member
--- that removes, or that a later one of its name overrides, is `gone`: it is never inserted. `flat`: see
--- splice.lua.
--- @include splice_name
--- @include splice_skip
local function splice_read(patch, object, slash, left, flat)
  local find, byte = string.find, string.byte
  local members = {first = false, second = nil, third = nil, fourth = nil} -- room without rehashing
  local last, latest, pattern = object.from, nil, '^%s*("[^"\\]*")%s*:%s*'
  while true do
    local _, colon, name = find(patch, pattern, last + 1)
    if not colon then name, colon, left = splice_name(patch, last + 1, left) end
    if not name or left < 0 then
      object.members, object.to = members, colon
      return left
    end
    pattern = '^%s*,%s*("[^"\\]*")%s*:%s*'
    local char = byte(patch, colon + 1)
    local member = {
      name = name, from = colon + 1, to = 0, gone = char == 110 and not flat, -- 110: the n of null
      members = false, following = false, seen = 0, place = 0,
    }
    if char == 123 and not flat then -- 123: {
      left = splice_read(patch, member, slash, left - 20 - (colon - last) / 16)
    else
      member.to, left = splice_skip(patch, colon + 1, slash, left - 12 - (colon - last) / 16)
    end
    if members[name] then members[name].gone = true end
    if latest then latest.following = member else members.first = member end
    members[name], latest, last = member, member, member.to
  end
end
