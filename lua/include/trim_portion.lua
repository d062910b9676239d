--- Remove the first entry of a journal, the last of a portion whose others were trimmed before. Remembered is its
--- cursor, because a reader at an older one has missed entries; and the bytes of all entries that ever were removed,
--- which the entry itself knows: its total. Replies the bytes of the portion. An entry of a former version
--- (journal_entry.lua) has its total in a field.
local function trim_portion(journal)
  local first = redis.call('XRANGE', journal.stream, '-', '+', 'COUNT', '1')[1]
  local freed = tonumber(redis.call('HGET', journal.state, 'freed') or 0)
  redis.call('XDEL', journal.stream, first[1])
  local total = first[2][4] or string.format('%.0f', cmsgpack.unpack(first[2][1])[8])
  redis.call('HSET', journal.state, 'trimmed', first[1], 'freed', total)
  return total - freed
end
