--- The reason why the collection or its namespace does not admit a write; nil if it does. `first` is the first
--- index of the collection, nil if it has none; `before` the stored header, or nil; `size` is in bytes.
--- UNREGISTERED: the first record of a collection needs a registration in the namespace's registry.
--- `registered` is the time of the registration (us); it may be ten minutes old (unregister.lua).
--- `added` is the number of documents that are added if there is no `before`; 1 if it is left out.
--- QUOTA: the write needs more documents or bytes than `remaining_quota` (two numbers, or '') leaves to the
--- namespace. The entry in the `journal`, nil if there is none, needs bytes too.
local function admission_error(first, registered, remaining_quota, size, before, at, journal, added)
  if not before and first then
    local since = tonumber(registered)
    if not (since and at - since <= 600000000) and redis.call('EXISTS', first) == 0 then
      return 'UNREGISTERED the collection has no name yet'
    end
  end
  if remaining_quota == '' then return nil end
  local documents, bytes = string.match(remaining_quota, '^(%-?%d+) (%-?%d+)$')
  if not before and tonumber(documents) < (added or 1) then return 'QUOTA the quota of documents is used up' end
  local grown = size - (before and before.size or 0) + (journal and journal.weight or 0)
  if grown > 0 and grown > tonumber(bytes) then
    local left = string.format('%.0f', math.max(0, tonumber(bytes)))
    return 'QUOTA the quota leaves ' .. left .. ' bytes, and this write takes ' .. grown
  end
  return nil
end
