--- Take a variable out of some lists and put it into others. `from` and `into` are names of lists, 15 bytes each, in one
--- text, of the same kinds in the same order, or '' where it is in none; `was` and `is` are its members in them, moment
--- (7 bytes, us) and id (6). Of a list that is in both it changes the member alone.
--- A list is short, and `lists` has its members in one text; or it is long, and `lists` has their number (6 bytes), and
--- `listing` has list and member in one, all scores 0. More than 32 members make it long, until it is empty again.
--- @include position
local function move_between_lists(lists, listing, from, into, was, is)
  local names, leaves, joins = {}, {}, {}
  for start = 1, math.max(#from, #into), 15 do
    local old, new = string.sub(from, start, start + 14), string.sub(into, start, start + 14)
    if old ~= '' then names[#names + 1], leaves[#names + 1], joins[#names + 1] = old, true, old == new end
    if new ~= '' and new ~= old then names[#names + 1], joins[#names + 1] = new, true end
  end
  local set, emptied, out, added = {}, {}, {}, {}
  local function put(where, first, second) where[#where + 1], where[#where + 2] = first, second end
  for i, before in ipairs(redis.call('HMGET', lists, unpack(names))) do
    local list, text = names[i], before or ''
    if #text == 6 then
      local count = struct.unpack('>I6', text) - (leaves[i] and 1 or 0) + (joins[i] and 1 or 0)
      if leaves[i] then out[#out + 1] = list .. was end
      if joins[i] then put(added, 0, list .. is) end
      text = count > 0 and struct.pack('>I6', count) or ''
    else
      local at = leaves[i] and position(text, was)
      if at then text = string.sub(text, 1, at - 1) .. string.sub(text, at + 13) end
      if joins[i] then text = text .. is end
      if #text > 416 then -- 32 members
        for start = 1, #text, 13 do put(added, 0, list .. string.sub(text, start, start + 12)) end
        text = struct.pack('>I6', #text / 13)
      end
    end
    if text == '' then emptied[#emptied + 1] = list elseif text ~= before then put(set, list, text) end
  end
  if set[1] then redis.call('HSET', lists, unpack(set)) end
  if emptied[1] then redis.call('HDEL', lists, unpack(emptied)) end
  if out[1] then redis.call('ZREM', listing, unpack(out)) end
  if added[1] then redis.call('ZADD', listing, unpack(added)) end
end
