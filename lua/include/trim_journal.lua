--- Remove the entries of a journal that are beyond its limits: the oldest ones, at most 300 by number and about as
--- many by age, because freeing entries of 32 KB takes time. Replies the bytes of these entries; and true if more may
--- be too old.
--- @include trim_excess
local function trim_journal(journal, at)
  local entries, seconds = string.match(journal.limits, '^(%d+) (%d+)$')
  local stream, freed, more = journal.stream, trim_excess(journal, tonumber(entries), 0)
  local bound = string.format('%.0f-0', math.floor(at / 1000) - seconds * 1000)
  if redis.call('XRANGE', stream, '-', '(' .. bound, 'COUNT', '1')[1] then -- XREVRANGE scans all if there is none
    local newest = redis.call('XREVRANGE', stream, '(' .. bound, '-', 'COUNT', '1')[1][1]
    local removed = redis.call('XTRIM', stream, 'MINID', '~', newest, 'LIMIT', '300')
    local older = removed >= 200 -- else at most one node of 100 entries is left
    if not older then redis.call('XTRIM', stream, 'MINID', newest) end
    freed, more = freed + trim_portion(journal), more or older
  end
  return freed, more
end
