--- Why `condition` does not hold for a record with files, whose header is `before` (nil: there is none), or nil if it
--- does. As in precondition_error.lua, and 'bare' wants no record, or one that names no blobs: nothing has to be let go of then.
--- The manifest is msgpack, [blobs, ...]: its second byte tells an empty array (service/storage/files/attachments.py).
--- @include precondition_error
local function attachment_error(condition, record, before)
  if condition ~= 'bare' then return precondition_error(condition, before) end
  if not before then return nil end
  local second = redis.call('GETRANGE', record, before.offset + 1, before.offset + 1)
  return second ~= '\144' and 'CHANGED the record names blobs' or nil -- 144: 0x90
end
