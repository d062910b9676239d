--- The packed header and the value of an entry of a journal (enter_change.lua) by its fields. An entry of a former version
--- has the fields h, t, and v: the header, the total, and the value.
local function journal_entry(fields)
  if fields[3] then return fields[2], fields[6] end
  return fields[1], fields[2]
end
