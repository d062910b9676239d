--- Say who may do what in a collection, all at once: these grants replace all earlier ones. Also when memory is full,
--- so that what was granted can be taken back.
--- Replies with: the subjects that there were before; none of them where they are more than 5,000.
--- Refuses: OUTDATED (with the revision of the grants that are there: somebody knew better).
--- Flags: allow-oom

local acl    = KEYS[1] -- hash: subject -> verbs; '' -> the revision, below 0 where the resource is not declared
local staged = KEYS[2] -- hash: grants that were sent ahead, for they are many; may be missing

local revision = ARGV[1] -- a number; what was declared later has a higher one
local declared = ARGV[2] -- '1', or '': the resource is not declared (any more)
local grants   = {unpack(ARGV, 3)} -- subject, verbs, subject, verbs ...: at most 1,000 pairs

local there = redis.call('HGET', acl, '')
if there and math.abs(there) > tonumber(revision) then
  return redis.error_reply(string.format('OUTDATED %.0f', math.abs(there)))
end
local before = {}
if redis.call('HLEN', acl) <= 5000 then before = redis.call('HKEYS', acl) end
redis.call('UNLINK', acl) -- the first write: Redis 6.2 lets a script write on whose first write was one that frees
if redis.call('EXISTS', staged) == 1 then
  redis.call('RENAME', staged, acl)
  redis.call('PERSIST', acl)
end
if declared == '1' then
  redis.call('HSET', acl, '', revision, unpack(grants))
else
  redis.call('HSET', acl, '', '-' .. revision)
  redis.call('EXPIRE', acl, 86400) -- s: nobody who read what was declared before then comes to say so later
end
return before
