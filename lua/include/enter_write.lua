--- Enter a write at the time `at` (us) into its journal (open_journal.lua), and trim the journal now and then.
--- `before` and `after` are the headers, nil for no record. The state of a record that will expire is kept beside the
--- journal, because the record is gone when its expiry is entered. Replies the bytes by which the journal grew.
--- @include enter_change
--- @include expiry_state
--- @include trim_now_and_then
local function enter_write(journal, id, before, after, at)
  if after and after.expires > 0 then
    redis.call('HSET', journal.state, ':' .. id, expiry_state(after, journal.start))
  elseif before and before.expires > 0 then
    redis.call('HDEL', journal.state, ':' .. id)
  end
  local weight = journal.weight
  local total = redis.call('HINCRBY', journal.state, 'bytes', weight)
  enter_change(journal, journal.start, (after or before).version, at, total, journal.value)
  return weight - trim_now_and_then(journal, total, weight)
end
