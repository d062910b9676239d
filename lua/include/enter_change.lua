--- Add an entry to a journal. Its fields are h: the packed header, t: the bytes of all entries that ever were added, up
--- to this one, v: the value or ''. service/storage/journal/change.py defines the header. `version` 0 and `etag` '' say
--- that they are not known. Replies the bytes that it counts: 64, and those of id, author and value.
local function enter_change(journal, op, id, version, etag, author, at, size, value)
  local weight = 64 + #id + #author + #value
  local total = redis.call('HINCRBY', journal.state, 'bytes', weight)
  local header = cmsgpack.pack({id, op, version, etag, author, at, size})
  redis.call('XADD', journal.stream, '*', 'h', header, 't', total, 'v', value)
  return weight
end
