--- Bring a namespace's usage up to date with what a write did, if it is kept at all (only where there is a quota).
--- Replies with: OK.
--- Flags: allow-oom

local usage = KEYS[1] -- hash: documents, bytes; expires an hour after it was counted

local documents = ARGV[1] -- documents that the namespace grew by
local bytes     = ARGV[2] -- bytes that the namespace grew by

if redis.call('EXISTS', usage) == 1 then
  redis.call('HINCRBY', usage, 'documents', documents)
  redis.call('HINCRBY', usage, 'bytes', bytes)
end
return redis.status_reply('OK')
