--- What `lists` has of a list (see move_between_lists.lua), nil where there is none, and what it is to have by what can be counted:
--- of a short one each whole member once, of a long one their number; '' where it is to have nothing.
local function recount(lists, listing, list)
  local text = redis.call('HGET', lists, list)
  if not text then return nil, '' end
  if #text == 6 then
    local count = redis.call('ZLEXCOUNT', listing, '[' .. list, '[' .. list .. string.rep('\255', 13))
    return text, count > 0 and struct.pack('>I6', count) or ''
  end
  local seen, members = {}, {}
  for start = 1, #text - 12, 13 do
    local member = string.sub(text, start, start + 12)
    if not seen[member] then members[#members + 1] = member end
    seen[member] = true
  end
  return text, table.concat(members)
end
