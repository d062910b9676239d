--- The members of a listing for one variable: the name of each list that it is in, its moment, its id. `fixed` are names
--- of lists that do not depend on its value; `valued` are those that do, 17 bytes each, in one text. `stamp` (7 bytes)
--- and `id` (6 bytes) are big-endian, so that the bytes of the members of one list sort by moment, then by id.
local function entries(fixed, valued, stamp, id)
  local members = {}
  for i, list in ipairs(fixed) do members[i] = list .. stamp .. id end
  for start = 1, #valued, 17 do
    members[#members + 1] = string.sub(valued, start, start + 16) .. stamp .. id
  end
  return members
end
