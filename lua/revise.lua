--- Take a new revision of the grants. It works when memory is full too, so that grants can be withdrawn.
--- Replies with: a number, higher than all before.
--- Flags: allow-oom

local revision = KEYS[1] -- string: the latest one

local above = ARGV[1] -- the revision must be above this number too: a failover may have lost some

local after = math.max(tonumber(redis.call('GET', revision)) or 0, tonumber(above)) + 1
redis.call('SET', revision, after)
return after
