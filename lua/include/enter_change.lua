--- Add an entry to a journal. An entry has one field: its name is the packed header, its value the body or ''.
--- `start` is the header without the last three of its eight values, which are given as numbers. `total` is the
--- number of bytes of all entries that were ever added, including this one. service/storage/journal/change.py defines
--- the header. If version and etag are not known, they are 0 and ''.
local function enter_change(journal, start, version, at, total, value)
  redis.call('XADD', journal.stream, '*', start .. cmsgpack.pack(version, at, total), value)
end
