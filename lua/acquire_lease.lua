--- Take a job that one worker at a time does, or keep it.
--- Replies with: 1 if this worker has it now, else 0.
--- Flags: allow-oom

local job = KEYS[1] -- string: name of the worker that does it; expires when that worker is gone

local name = ARGV[1] -- of the worker that asks
local ms   = ARGV[2] -- how long it has the job without asking again

--- @include renew

local holder = redis.call('GET', job)
if holder and holder ~= name then return 0 end
renew(job, name, ms)
return 1
