--- Acquire a lease that one worker holds at a time, or renew it.
--- Replies with: 1 if this worker holds the lease now, else 0.
--- Flags: allow-oom

local job = KEYS[1] -- string: name of the worker that holds it; expires if that worker does not renew it

local name = ARGV[1] -- name of the worker that asks
local ms   = ARGV[2] -- for which the lease lasts

local holder = redis.call('GET', job)
if holder and holder ~= name then return 0 end
redis.call('SET', job, name, 'PX', ms)
return 1
