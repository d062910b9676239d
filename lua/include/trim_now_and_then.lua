--- Once in each 4 KB that are entered: store a journal's limits, for sweeps, and remove its oldest entries if it has more
--- than 60 that it need not keep. `total` are all bytes so far, `weight` those that were entered last. 4 KB are at most 63
--- entries, so a journal never has more than 123 that it need not keep. Replies the bytes of the removed entries.
--- @include trim_excess
local function trim_now_and_then(journal, total, weight)
  if (total - 1) % 4096 >= weight + journal.entered then return 0 end -- true for the first entry as well
  local limits = string.sub(journal.text, 3, 23)
  redis.call('HSET', journal.state, 'limits', limits)
  return (trim_excess(journal, tonumber(string.sub(limits, 1, 10)), 60))
end
