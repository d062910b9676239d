--- The first position after `last` where `name`, in quotes, follows a comma (#text + 1 if there is none), and
--- `left`.
--- @include splice_back
local function splice_next(text, last, name, left)
  local place = last
  repeat
    place = string.find(text, name, place + 1, true)
    if not place then return #text + 1, left - 2 - (#text - last) / 40 end
    local before
    before, left = splice_back(text, place, left - 2)
  until left < 0 or string.byte(text, before) == 44 -- 44: comma
  return place, left - (place - last) / 40
end
