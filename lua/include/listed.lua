--- True if a list has a member; and true if the list is long (move_between_lists.lua).
--- @include position
local function listed(lists, listing, list, member)
  local LENGTH = 6 -- bytes of the text of a long list
  local text = redis.call('HGET', lists, list) or ''
  if #text == LENGTH then return redis.call('ZSCORE', listing, list .. member), true end
  return position(text, member), false
end
