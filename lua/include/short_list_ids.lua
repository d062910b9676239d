--- The ids (6 bytes each) of a short list's members (see move_between_lists.lua) within a span of time, newest first,
--- then by id, the largest first. Members are appended in the order of time, so sorting takes one step for each, unless
--- the clock was set back. Moments are compared as numbers: Lua compares texts by the server's locale.
local function short_list_ids(text, since, before)
  local MEMBER, MOMENT = 13, 7 -- bytes
  local ids, moments, numbers = {}, {}, {}
  for start = #text - MEMBER + 1, 1, -MEMBER do
    local moment, number = struct.unpack('>I7I6', text, start)
    if since <= moment and moment < before then
      local at = #ids + 1
      while at > 1 and (moments[at - 1] < moment or moments[at - 1] == moment and numbers[at - 1] < number) do
        at = at - 1
      end
      table.insert(moments, at, moment)
      table.insert(numbers, at, number)
      table.insert(ids, at, string.sub(text, start + MOMENT, start + MEMBER - 1))
    end
  end
  return ids
end
