--- Remove from a journal the oldest entries beyond `entries`, at most 300, if there are more than `spare` of them.
--- Replies their bytes; and true if more are left.
--- @include trim_portion
local function trim_excess(journal, entries, spare)
  local length = redis.call('XLEN', journal.stream)
  local excess = length - entries
  if excess <= spare then return 0, false end
  local removed = math.min(excess, 300)
  redis.call('XTRIM', journal.stream, 'MAXLEN', length - removed + 1)
  return trim_portion(journal), removed < excess
end
