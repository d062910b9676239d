--- Why a write may not go ahead for reasons of its collection, or nil.
--- UNREGISTERED: the first record of a collection wants proof that the namespace's registry names it: `registered`,
--- the time of that (us), no older than ten minutes (the registry drops an empty collection after an hour).
--- QUOTA: the write would take more documents or bytes than `room` (two numbers, or '') leaves to the namespace.
local function barred(before, size, indexes, registered, room, at)
  if not before and indexes[1] and redis.call('EXISTS', indexes[1]) == 0 then
    if registered == '' or at - tonumber(registered) > 600000000 then return 'UNREGISTERED the collection is to be registered first' end
  end
  if room == '' then return nil end
  local documents, bytes = string.match(room, '^(%-?%d+) (%-?%d+)$')
  if not before and tonumber(documents) < 1 then return 'QUOTA the quota of documents is used up' end
  local grown = size - (before and before.size or 0)
  if grown > 0 and grown > tonumber(bytes) then return 'QUOTA the quota of bytes is used up' end
  return nil
end
