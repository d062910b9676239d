--- Write all index entries of a restored record. keep.lua cannot do it, because the record's times are from another
--- server. `before` is the former header, or nil: then an expired record with this id may still be indexed. Replies
--- the documents and bytes by which the collection grew.
--- @include forget
--- @include is_kept
--- @include score
local function reindex(expiry, indexes, kinds, id, before, after)
  local documents, bytes = before and 0 or 1, after.size - (before and before.size or 0)
  if not before and redis.call('ZSCORE', expiry, id) then
    documents, bytes = documents - 1, bytes - forget({id}, expiry, indexes, kinds)
  end
  if after.deadline then
    redis.call('ZADD', expiry, after.deadline, id)
  elseif before and before.expires > 0 then
    redis.call('ZREM', expiry, id)
  end
  for i = 1, #indexes do
    if is_kept(indexes[i], string.byte(kinds, i)) then
      redis.call('ZADD', indexes[i], score(string.sub(kinds, i, i), after), id)
    end
  end
  return documents, bytes
end
