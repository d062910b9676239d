--- The reason why `condition` does not hold for a record with files and the header `before` (nil: no record);
--- nil if it holds. Conditions are those of precondition_error.lua, and 'bare': no record, or one that names
--- no blobs, so that nothing has to be released. The manifest is msgpack, [blobs, ...]: its second byte shows
--- whether the array is empty (service/storage/files/attachments.py).
--- @include precondition_error
local function attachment_error(condition, record, before)
  if condition ~= 'bare' then return precondition_error(condition, before) end
  if not before then return nil end
  local second = redis.call('GETRANGE', record, before.offset + 1, before.offset + 1)
  return second ~= '\144' and 'CHANGED the record names blobs' or nil -- 144: 0x90
end
