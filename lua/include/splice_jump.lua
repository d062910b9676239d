--- Jump over members that the patch does not name. Replies: from `last`, the end of a value in an object, the
--- end of a later value such that none of `members` lies between; the position before which another jump is
--- of no use; the number of members that count as walked; and `left`. Up to the next bracket or backslash
--- (`marks` remembers their positions) nothing is nested or escaped: a name in quotes after a comma belongs
--- to this object, and a name that is not found is not there. A name that begins like what may follow a
--- string could be found across two strings, so it is not searched for; nor are more than 8 names.
--- @include splice_next
--- @include splice_back
local function splice_jump(text, last, members, marks, left)
  local wall, count, member = #text, 0, members.first
  for mark, place in pairs(marks) do
    if place <= last then
      place = string.find(text, mark, last + 1, true) or #text + 1
      marks[mark] = place
    end
    if place < wall then wall = place end
  end
  local place = wall
  while member and left >= 0 do
    count = count + 1
    if member.place <= last then
      if count > 8 or not string.find(member.name, '^"[^%s,:%]}"]') then return last, #text, 0, left - count end
      member.place, left = splice_next(text, last, member.name, left - 1)
    end
    if member.place < place then place = member.place end
    member = member.following
  end
  left = left - 4 - count
  if place < wall then
    place, left = splice_back(text, place, left) -- the comma
  elseif not string.find(text, '^}%s*$', wall) then
    return last, wall, 0, left
  end
  place, left = splice_back(text, place, left)
  return place, wall, place > last and 4 or 0, left
end
