--- The header of the live record under `record`, or nil. Redis hides an expired string by its own reckoning; the
--- second check makes `at` (microseconds) the only clock of a script. 256 = the length byte and the longest header.
--- The layout is that of service/storage/records.py.
local function header(record, at)
  local start = redis.call('GETRANGE', record, 0, 255)
  if start == '' then return nil end
  local _, field = cmsgpack.unpack_one(start, 1)
  if field[4] > 0 and field[4] * 1000 < at then return nil end
  return {
    version = field[1], created = field[2], updated = field[3], expires = field[4],
    creator = field[5], updater = field[6], size = redis.call('STRLEN', record) - string.byte(start) - 1,
  }
end
