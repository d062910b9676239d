--- Take a variable out of some lists and put it into others. `from` and `into` are list names in one text, of
--- the same kinds in the same order, or '' for no list. `was` and `is` are the variable's members before and
--- after. In a list that is in both, only the member changes.
--- A short list is one text of members in the hash `lists`. A list of more than 32 members becomes long, and
--- stays long until it is empty: `lists` has its length, and the zset `listing` its members behind its name.
--- @include position
local function move_between_lists(lists, listing, from, into, was, is)
  local NAME, MEMBER, LENGTH = 15, 13, 6 -- bytes; a member is a moment (7 bytes, us) and an id (6 bytes)
  local names, leaves, joins = {}, {}, {}
  for start = 1, math.max(#from, #into), NAME do
    local old, new = string.sub(from, start, start + NAME - 1), string.sub(into, start, start + NAME - 1)
    if old ~= '' then names[#names + 1], leaves[#names + 1], joins[#names + 1] = old, true, old == new end
    if new ~= '' and new ~= old then names[#names + 1], joins[#names + 1] = new, true end
  end
  local set, emptied, out, added = {}, {}, {}, {}
  local function put(where, first, second) where[#where + 1], where[#where + 2] = first, second end
  for i, before in ipairs(redis.call('HMGET', lists, unpack(names))) do
    local list, text = names[i], before or ''
    if #text == LENGTH then
      local count = struct.unpack('>I6', text) - (leaves[i] and 1 or 0) + (joins[i] and 1 or 0)
      if leaves[i] then out[#out + 1] = list .. was end
      if joins[i] then put(added, '0', list .. is) end
      text = count > 0 and struct.pack('>I6', count) or ''
    else
      local at = leaves[i] and position(text, was)
      if at then text = string.sub(text, 1, at - 1) .. string.sub(text, at + MEMBER) end
      if joins[i] then text = text .. is end
      if #text > 32 * MEMBER then
        for start = 1, #text, MEMBER do put(added, '0', list .. string.sub(text, start, start + MEMBER - 1)) end
        text = struct.pack('>I6', #text / MEMBER)
      end
    end
    if text == '' then emptied[#emptied + 1] = list elseif text ~= before then put(set, list, text) end
  end
  if set[1] then redis.call('HSET', lists, unpack(set)) end
  if emptied[1] then redis.call('HDEL', lists, unpack(emptied)) end
  if out[1] then redis.call('ZREM', listing, unpack(out)) end
  if added[1] then redis.call('ZADD', listing, unpack(added)) end
end
