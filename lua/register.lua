--- Register a collection in its namespace's registry, or confirm its registration. The registry is a
--- superset: a collection is registered before its first record is written, and an empty one is dropped long
--- after (unregister.lua).
--- Replies with: the time of the registration (us), later than any before.

local registry = KEYS[1] -- zset: collection -> when it was last registered (us)

local name = ARGV[1] -- the collection's name

--- @include now

local at = math.max(now(), (tonumber(redis.call('ZSCORE', registry, name)) or 0) + 1)
redis.call('ZADD', registry, at, name)
return at
