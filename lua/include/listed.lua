--- Whether a list has a member, and whether it is a long one (see move_between_lists.lua).
--- @include position
local function listed(lists, listing, list, member)
  local text = redis.call('HGET', lists, list) or ''
  if #text == 6 then return redis.call('ZSCORE', listing, list .. member), true end
  return position(text, member), false
end
