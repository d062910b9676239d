--- Add to a namespace's usage the documents and bytes by which a write changed it, if a usage is stored (only
--- where there is a quota).
--- Replies with: OK.
--- Flags: allow-oom

local usage = KEYS[1] -- string: documents and bytes in use; expires an hour after it was counted

local documents = ARGV[1] -- documents by which the namespace grew
local bytes     = ARGV[2] -- bytes by which the namespace grew

local left = redis.call('PTTL', usage)
if left > 0 then
  local had, held = string.match(redis.call('GET', usage), '^(%-?%d+) (%-?%d+)$')
  redis.call('SET', usage, string.format('%.0f %.0f', had + documents, held + bytes), 'PX', left)
end
return redis.status_reply('OK')
