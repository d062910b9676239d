--- Tell every worker that the access directory has changed; also when memory is full, so that tokens can be revoked.
--- Replies with: the new epoch.
--- Flags: allow-oom

local generation = KEYS[1] -- string: a number that grows with every change of the access directory

--- @include renew

local after = (tonumber(redis.call('GET', generation)) or 0) + 1
renew(generation, after)
return after
