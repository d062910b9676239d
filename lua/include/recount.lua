--- The text of a list in `lists` (move_between_lists.lua), or nil; and the text that it should have. For a short list
--- this is each complete member once, for a long one its true length, and '' if the list should not exist.
local function recount(lists, listing, list)
  local MEMBER, LENGTH = 13, 6 -- bytes
  local text = redis.call('HGET', lists, list)
  if not text then return nil, '' end
  if #text == LENGTH then
    local count = redis.call('ZLEXCOUNT', listing, '[' .. list, '[' .. list .. string.rep('\255', MEMBER))
    return text, count > 0 and struct.pack('>I6', count) or ''
  end
  local seen, members = {}, {}
  for start = 1, #text - MEMBER + 1, MEMBER do
    local member = string.sub(text, start, start + MEMBER - 1)
    if not seen[member] then members[#members + 1] = member end
    seen[member] = true
  end
  return text, table.concat(members)
end
