--- The header of the live record under the key `record`, or nil, and what was read of the record. `offset` is
--- where its body starts, sizes are in bytes. Redis hides an expired string by the time at which the script
--- started. The check here uses `at` (us), so a script has one clock. `last` is the last byte to read, at least 255: the
--- longest header (service/storage/records/record.py defines the layout). Without it, no more is read than a header needs.
local function header(record, at, last)
  local start = redis.call('GETRANGE', record, '0', last or '95')
  if start == '' then return nil end
  local length = string.byte(start)
  if length > 95 and not last then start = redis.call('GETRANGE', record, '0', '255') end
  local _, field = cmsgpack.unpack_one(start, 1)
  if field[4] > 0 and field[4] < math.floor(at / 1000) then return nil end
  return {
    version = field[1], created = field[2], updated = field[3], expires = field[4],
    creator = field[5], size = field[7], offset = length + 1,
  }, start
end
