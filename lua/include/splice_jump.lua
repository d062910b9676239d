--- From `last`, the end of a value in an object: the end of a later value, such that none of `members` lies between; the
--- place up to which a jump from there may lead; and the steps that are left.
--- Up to the next bracket or backslash (`marks` remembers where they are) nothing is nested or escaped: a name in quotes
--- after a comma is a member of this very object there, and one that is not found is not there. Only a name that begins
--- like what may follow a string could be found astride two strings.
--- @include splice_next
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
  while member do
    count = count + 1
    if member.place <= last then
      if count > 8 or not string.find(member.name, '^"[^%s,:%]}"]') then return last, #text, left end
      member.place, left = splice_next(text, last, member.name, left)
    end
    if member.place < place then place = member.place end
    member = member.following
  end
  if place < wall then
    place, left = splice_back(text, place, left) -- the comma
  elseif not string.find(text, '^}%s*$', wall) then
    return last, wall, left
  end
  place, left = splice_back(text, place, left)
  return place, wall, left - count
end
