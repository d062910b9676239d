--- Start a new generation of the access directory, so that every worker looks up again what it cached. It
--- works when memory is full too, so that tokens can be revoked.
--- Replies with: the new generation.
--- Flags: allow-oom

local generation = KEYS[1] -- string: a number that grows with every change of the access directory

local after = (tonumber(redis.call('GET', generation)) or 0) + 1
redis.call('SET', generation, after)
return after
