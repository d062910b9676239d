--- Why `condition` does not hold for the record whose header is `before` (nil: there is none), or nil if it does.
--- '' always holds; 'new' and 'absent' want no record ('new' for those that ask to create, 'absent' as a precondition);
--- 'present' wants one; 'VERSION:UPDATED' wants exactly that state of it (microseconds tell it from the same version
--- after a delete).
local function precondition_error(condition, before)
  if condition == '' then return nil end
  if condition == 'new' then return before and 'EXISTS the key is there already' end
  if condition == 'absent' then return before and 'CHANGED the key is there already' end
  if not before then return 'CHANGED no such key' end
  if condition == 'present' then return nil end
  if condition == string.format('%d:%.0f', before.version, before.updated) then return nil end
  return 'CHANGED the record has changed'
end
