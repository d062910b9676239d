--- Bring a namespace's usage up to date with what a write did, if it is kept at all (only where there is a quota).
--- Replies with: OK.
--- Flags: allow-oom

local usage = KEYS[1] -- string: documents and bytes in use; expires an hour after it was counted

local documents = ARGV[1] -- documents that the namespace grew by
local bytes     = ARGV[2] -- bytes that the namespace grew by

--- @include renew

local left = redis.call('PTTL', usage)
if left > 0 then
  local had, held = string.match(redis.call('GET', usage), '^(%-?%d+) (%-?%d+)$')
  renew(usage, string.format('%.0f %.0f', had + documents, held + bytes), left)
end
return redis.status_reply('OK')
