--- Remove from a journal what is beyond its limits: the oldest entries, at most 1000 by number and about as many by age.
--- Replies the bytes of these entries.
--- @include trim_portion
local function trim_journal(journal, at)
  local entries, seconds = string.match(journal.limits, '^(%d+) (%d+)$')
  local stream, freed = journal.stream, 0
  local excess = math.min(redis.call('XLEN', stream) - entries, 1000)
  if excess > 0 then
    redis.call('XTRIM', stream, 'MAXLEN', redis.call('XLEN', stream) - excess + 1)
    freed = trim_portion(journal)
  end
  local bound = string.format('%.0f-0', math.floor(at / 1000) - seconds * 1000)
  if redis.call('XRANGE', stream, '-', '(' .. bound, 'COUNT', '1')[1] then -- XREVRANGE scans all if there is none
    local newest = redis.call('XREVRANGE', stream, '(' .. bound, '-', 'COUNT', '1')[1][1]
    local removed = redis.call('XTRIM', stream, 'MINID', '~', newest, 'LIMIT', '1000')
    if removed < 900 then redis.call('XTRIM', stream, 'MINID', newest) end -- at most one node of 100 entries is left
    freed = freed + trim_portion(journal)
  end
  return freed
end
