--- Enter into a journal that these records have expired, and forget their states. Replies the bytes of the entries.
--- A record that was written before the journal was declared has no state there.
--- @include enter_change
local function enter_expired(journal, ids, at)
  local grown = 0
  for _, id in ipairs(ids) do
    local state = redis.call('HGET', journal.state, ':' .. id)
    local version, etag
    if state then
      version, etag = string.match(state, '^(%d+) (%x*)$')
      redis.call('HDEL', journal.state, ':' .. id)
    end
    grown = grown + enter_change(journal, 'expire', id, tonumber(version or 0), etag or '', '', at, 0, '')
  end
  return grown
end
