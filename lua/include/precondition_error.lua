--- The reason why `condition` does not hold for the record with the header `before` (nil: no record); nil if
--- it holds.
--- '' always holds. 'new' and 'absent' require that there is no record: 'new' is for requests that create,
--- 'absent' for preconditions. 'present' requires a record. 'VERSION:UPDATED' requires exactly that state of
--- it; the microseconds distinguish it from the same version after a delete.
local function precondition_error(condition, before)
  if condition == '' then return nil end
  if condition == 'new' then return before and 'EXISTS the key is there already' end
  if condition == 'absent' then return before and 'CHANGED the key is there already' end
  if not before then return 'CHANGED no such key' end
  if condition == 'present' then return nil end
  if condition == string.format('%d:%.0f', before.version, before.updated) then return nil end
  return 'CHANGED the record has changed'
end
