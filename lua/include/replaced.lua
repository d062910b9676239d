--- Update the expiry set and the indexes after a batch wrote records at `moment` (us, a text). `ids` has the id of
--- each record by its key; `was` and `is` have the headers before and after, none if there is no record. Also removes
--- up to `due` expired members, and enters them into the `journal`, if there is one. Replies the documents and bytes
--- by which the collection grew.
--- @include keep
local function replaced(expiry, indexes, kinds, ids, was, is, moment, due, journal)
  local gone, freed, entered = expire(expiry, indexes, kinds, moment, due, journal)
  local documents, bytes = -gone, entered - freed
  for record, id in pairs(ids) do
    local before, after = was[record], is[record]
    if before and not (after and after.created == before.created) then -- deleted, perhaps created again
      documents, bytes = documents - 1, bytes - forget({id}, expiry, indexes, kinds)
      before = nil
    elseif after and not before and gone > 0 and redis.call('ZREM', expiry, id) == 1 then -- an expired namesake
      documents, bytes = documents - 1, bytes - forget({id}, expiry, indexes, kinds)
      if journal then bytes = bytes + enter_expired(journal, {id}, tonumber(moment)) end
    end
    if after and after ~= before then
      local more, grown = keep(expiry, indexes, kinds, id, before, after, moment, nil, true)
      documents, bytes = documents + more, bytes + grown
    end
  end
  return documents, bytes
end
