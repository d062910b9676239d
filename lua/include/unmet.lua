--- Why `condition` does not hold for the record whose header is `before` (nil: there is none), or nil if it does.
--- '' always holds; 'new' and 'absent' want no record ('new' for those that ask to create, 'absent' for a precondition);
--- 'present' wants one; 'VERSION:UPDATED' wants exactly that state of it (microseconds make it safe across a delete
--- and a new version 1).
local function unmet(condition, before)
  if condition == '' then return nil end
  if condition == 'new' then return before and 'EXISTS the record is there' end
  if condition == 'absent' then return before and 'CHANGED there is a record already' end
  if not before then return 'CHANGED there is no such record' end
  if condition == 'present' then return nil end
  if condition ~= string.format('%d:%.0f', before.version, before.updated) then
    return 'CHANGED the record has changed'
  end
  return nil
end
