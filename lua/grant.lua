--- Replace all grants of a collection in one step. It works when memory is full too, so that grants can be
--- withdrawn.
--- Replies with: the subjects that had grants before; none of them if there were more than 5,000.
--- Refuses: OUTDATED (with the revision of the stored grants, which are newer).
--- Flags: allow-oom

local acl    = KEYS[1] -- hash: subject -> verbs; '' -> the revision, below 0 where the resource is not declared
local staged = KEYS[2] -- hash: grants that were sent ahead because they are many; may be missing

local revision = ARGV[1] -- a number, higher for grants that follow from a later document
local declared = ARGV[2] -- '1', or '' if the resource is not declared (any more)
local grants   = {unpack(ARGV, 3)} -- subject, verbs, subject, verbs ...: at most 1,000 pairs

local there = redis.call('HGET', acl, '')
if there and math.abs(there) > tonumber(revision) then
  return redis.error_reply(string.format('OUTDATED %.0f', math.abs(there)))
end
local before = {}
if redis.call('HLEN', acl) <= 5000 then before = redis.call('HKEYS', acl) end
redis.call('UNLINK', acl)
if redis.call('EXISTS', staged) == 1 then
  redis.call('RENAME', staged, acl)
  redis.call('PERSIST', acl)
end
if declared == '1' then
  redis.call('HSET', acl, '', revision, unpack(grants))
else
  redis.call('HSET', acl, '', '-' .. revision)
  redis.call('EXPIRE', acl, 86400) -- seconds: no slower writer of an older revision comes later than that
end
return before
