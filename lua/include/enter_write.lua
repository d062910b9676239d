--- Enter a write at the time `at` (us) into its journal (open_journal.lua), and trim it now and then.
--- The limits are stored now and then, for sweeps; a write and the expiries before it are at most 4 entries. `before` and
--- `after` are the headers, nil for no record. The state of a record that expires is kept beside the journal until
--- then, because the record will be gone when its expiry is entered. Replies the bytes by which the journal grew.
--- @include enter_change
--- @include trim_journal
local function enter_write(journal, id, before, after, at)
  if after and after.expires > 0 then
    redis.call('HSET', journal.state, ':' .. id, after.version .. ' ' .. journal.etag)
  elseif before and before.expires > 0 then
    redis.call('HDEL', journal.state, ':' .. id)
  end
  local version, size = (after or before).version, after and after.size or 0
  local grown = enter_change(journal, journal.op, id, version, journal.etag, journal.author, at, size, journal.value)
  local length = redis.call('XLEN', journal.stream)
  if length % 16 < 5 then redis.call('HSET', journal.state, 'limits', journal.limits) end -- the first write too
  if length >= journal.most then grown = grown - (trim_journal(journal, at)) end
  return grown
end
