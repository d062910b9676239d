--- Add an entry to a journal. It has one field: the name is the packed header, the value is the body or ''. `start` is the
--- header without the last three of its eight values; those are given as numbers. `total` are the bytes of all entries
--- that ever were added, up to this one. service/storage/journal/change.py defines the header. `version` 0 and the etag ''
--- say that they are not known.
local function enter_change(journal, start, version, at, total, value)
  redis.call('XADD', journal.stream, '*', start .. cmsgpack.pack(version, at, total), value)
end
