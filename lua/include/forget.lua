--- Remove ids from a collection's indexes and its expiry set. Replies the bytes of their records (0 without
--- an index of sizes). `ids` has one to a few hundred ids: unpack puts them on Lua's stack.
local function forget(ids, expiry, indexes, kinds)
  local bytes = 0
  for i, index in ipairs(indexes) do
    if string.sub(kinds, i, i) == 's' then
      for _, size in ipairs(redis.call('ZMSCORE', index, unpack(ids))) do bytes = bytes + (tonumber(size) or 0) end
    end
    redis.call('ZREM', index, unpack(ids))
  end
  redis.call('ZREM', expiry, unpack(ids))
  return bytes
end
