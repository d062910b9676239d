--- The packed header and the value of a journal entry (enter_change.lua), given its fields. An entry of an earlier
--- version has the fields h, t and v: the header, the total, and the value.
local function journal_entry(fields)
  if fields[3] then return fields[2], fields[6] end
  return fields[1], fields[2]
end
