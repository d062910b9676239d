--- What follows once a record's string is written: its entries in the expiry set and the indexes, and the clearing away
--- of a few due neighbours when it is new (two out for each one in, so that a collection that is only written to stays
--- bounded). `change` is as in store.lua. Replies the documents and bytes that the collection grew by.
--- Runs after the write that needs memory: an earlier ZREM would let that write through when memory is full.
--- @include expire
--- @include index
local function keep(change, before, after, at)
  local id, expiry, indexes, kinds = change.id, change.expiry, change.indexes, change.kinds
  local documents, bytes = 0, after.size
  if before then
    bytes = bytes - before.size
  else
    local gone, freed = expire(expiry, indexes, kinds, at, 2)
    documents, bytes = 1 - gone, bytes - freed
    if gone > 0 and redis.call('ZREM', expiry, id) == 1 then -- its expired namesake was due too, and still indexed
      documents, bytes = documents - 1, bytes - forget({id}, expiry, indexes, kinds)
    end
  end
  if after.expires > 0 then
    redis.call('ZADD', expiry, after.expires, id)
  elseif before and before.expires > 0 then
    redis.call('ZREM', expiry, id)
  end
  index(indexes, kinds, id, before, after)
  return documents, bytes
end
