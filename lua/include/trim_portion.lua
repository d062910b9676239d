--- Remove the first entry of a journal, which is the last of a portion whose other entries were removed before. Its
--- cursor is stored, because a reader at an older cursor has missed entries. Its total is stored, too: the bytes of
--- all entries that were ever removed. Replies the bytes of the portion. An entry of an earlier version
--- (journal_entry.lua) has its total in a field.
local function trim_portion(journal)
  local first = redis.call('XRANGE', journal.stream, '-', '+', 'COUNT', '1')[1]
  local freed = tonumber(redis.call('HGET', journal.state, 'freed') or 0)
  redis.call('XDEL', journal.stream, first[1])
  local total = first[2][4] or string.format('%.0f', cmsgpack.unpack(first[2][1])[8])
  redis.call('HSET', journal.state, 'trimmed', first[1], 'freed', total)
  return total - freed
end
