--- Make a staged body the record, with the header `after`, which fits into its first `margin` bytes.
--- @include packed
local function restage(record, staged, after, margin)
  redis.call('SETRANGE', staged, '0', packed(after, margin))
  if after.deadline then
    redis.call('PEXPIREAT', staged, after.deadline)
  else
    redis.call('PERSIST', staged)
  end
  redis.call('RENAME', staged, record)
end
