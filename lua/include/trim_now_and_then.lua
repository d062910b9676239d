--- After each 4 KB of new entries: store a journal's limits, for sweeps, and remove its oldest entries if it has more
--- than 60 beyond its limit. `total` is the number of bytes of all entries so far, `weight` that of the entries added
--- last. 4 KB are at most 63 entries, so a journal never has more than 123 entries beyond its limit. Replies the
--- bytes of the removed entries.
--- @include trim_excess
local function trim_now_and_then(journal, total, weight)
  if (total - 1) % 4096 >= weight + journal.entered then return 0 end -- true for the first entry as well
  local limits = string.sub(journal.text, 3, 23)
  redis.call('HSET', journal.state, 'limits', limits)
  return (trim_excess(journal, tonumber(string.sub(limits, 1, 10)), 60))
end
