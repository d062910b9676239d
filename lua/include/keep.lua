--- Update the expiry set and the indexes after a record's string was written at `moment` (us, a text). If the record
--- is new, also remove up to two expired members, so that a collection that is only written to stays small. `before`
--- is the former header, or nil. The `journal` (nil: there is none) gets the expiries, then the write. `swept`: the
--- caller has already removed expired members. Replies the documents and bytes by which the collection grew.
--- @include expire
--- @include index
--- @include enter_write
local function keep(expiry, indexes, kinds, id, before, after, moment, journal, swept)
  local documents, bytes = 0, after.size
  if before then
    bytes = bytes - before.size
  elseif swept then
    documents = 1
  else
    local gone, freed, entered = expire(expiry, indexes, kinds, moment, '2', journal)
    documents, bytes = 1 - gone, bytes - freed + entered
    if gone > 0 and redis.call('ZREM', expiry, id) == 1 then -- its expired namesake was due too, and still indexed
      documents, bytes = documents - 1, bytes - forget({id}, expiry, indexes, kinds)
      if journal then bytes = bytes + enter_expired(journal, {id}, tonumber(moment)) end
    end
  end
  if after.deadline then
    redis.call('ZADD', expiry, after.deadline, id)
  elseif before and before.expires > 0 then
    redis.call('ZREM', expiry, id)
  end
  index(indexes, kinds, id, before, after.size, moment)
  if journal then bytes = bytes + enter_write(journal, id, before, after, after.updated) end
  return documents, bytes
end
