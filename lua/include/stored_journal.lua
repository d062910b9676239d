--- The journal of a collection, opened by its own keys: the last two of `keys`, which are removed from there. Nil if
--- the collection has no journal.
local function stored_journal(keys)
  local state = table.remove(keys)
  local stream = table.remove(keys)
  local limits = redis.call('HGET', state, 'limits')
  return limits and {stream = stream, state = state, limits = limits, entered = 0}
end
