--- Write a record's string with its native expiry. Lua hashes every byte of each string that it makes, so a long body is not
--- joined with its header: SETRANGE on a missing key makes a string of exactly the size that is needed.
--- @include packed
local function set(record, header, body)
  local LONG = 1000
  local head = packed(header)
  if #body > LONG then
    redis.call('UNLINK', record)
    redis.call('SETRANGE', record, #head, body)
    redis.call('SETRANGE', record, '0', head)
    if header.deadline then redis.call('PEXPIREAT', record, header.deadline) end
  elseif header.deadline then
    redis.call('SET', record, head .. body, 'PXAT', header.deadline)
  else
    redis.call('SET', record, head .. body)
  end
end
