--- The members of a short list (its text, see move_between_lists.lua) within a span of time, newest first, ties by id: their ids, 6
--- bytes each. They were appended as time went on, so each is put where it belongs in a step, unless the clock was set
--- back. Moments are compared as numbers: Lua compares texts as the server's locale does.
local function short_list_ids(text, since, before)
  local ids, moments, numbers = {}, {}, {}
  for start = #text - 12, 1, -13 do
    local moment, number = struct.unpack('>I7I6', text, start)
    if since <= moment and moment < before then
      local at = #ids + 1
      while at > 1 and (moments[at - 1] < moment or moments[at - 1] == moment and numbers[at - 1] < number) do
        at = at - 1
      end
      table.insert(moments, at, moment)
      table.insert(numbers, at, number)
      table.insert(ids, at, string.sub(text, start + 7, start + 12))
    end
  end
  return ids
end
