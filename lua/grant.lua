--- Say who may do what in a collection, all at once: these grants replace all earlier ones. Without any, its resource
--- is undeclared. Also when memory is full, so that what was granted can be taken back.
--- Replies with: OK.
--- Flags: allow-oom

local acl    = KEYS[1] -- hash: subject -> verbs; '' -> '' says that the resource is declared
local staged = KEYS[2] -- hash: grants that were sent ahead, for they are many; may be missing

local grants = {unpack(ARGV, 1)} -- subject, verbs, subject, verbs ...: at most 1,000 pairs

redis.call('UNLINK', acl) -- first: Redis 6.2 lets a script write on whose first write was one that frees
if redis.call('EXISTS', staged) == 1 then
  redis.call('RENAME', staged, acl)
  redis.call('PERSIST', acl)
end
if #grants > 0 then redis.call('HSET', acl, unpack(grants)) end
return redis.status_reply('OK')
