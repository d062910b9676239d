--- Write a record's string with its native expiry.
--- @include packed
local function set(record, header, body)
  if header.deadline then
    redis.call('SET', record, packed(header) .. body, 'PXAT', header.deadline)
  else
    redis.call('SET', record, packed(header) .. body)
  end
end
