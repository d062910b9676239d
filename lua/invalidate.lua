--- Start a new generation of the access directory, so that every worker looks up again what it cached. It
--- works when memory is full too, so that tokens can be revoked.
--- Replies with: the new generation.
--- Flags: allow-oom

local generation = KEYS[1] -- string: a number that grows with every change of the access directory

--- @include now

-- The time, so that a number does not come again after a flush, a restored backup, or a failover that lost the last
-- change: a worker that knows the number would keep what it cached.
local after = math.max((tonumber(redis.call('GET', generation)) or 0) + 1, (now()))
redis.call('SET', generation, string.format('%.0f', after))
return after
