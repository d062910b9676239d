--- Enter into a journal that these records have expired, and remove their states. A record that was written before
--- the journal was declared has no state. Replies the bytes of the entries.
--- @include enter_change
local function enter_expired(journal, ids, at)
  local names, entered = {}, 0
  for i, id in ipairs(ids) do
    names[i], entered = ':' .. id, entered + 64 + #id
  end
  local states = redis.call('HMGET', journal.state, unpack(names))
  redis.call('HDEL', journal.state, unpack(names))
  local total = redis.call('HINCRBY', journal.state, 'bytes', entered) - entered
  for i, id in ipairs(ids) do
    local version, etag = string.match(states[i] or '0 ', '^(%d+) (%x*)$')
    local start = '\152' .. cmsgpack.pack(id, 'expire', '', 0, etag) -- 152: an array of eight
    total = total + 64 + #id
    enter_change(journal, start, tonumber(version), at, total, '')
  end
  journal.entered = journal.entered + entered
  return entered
end
