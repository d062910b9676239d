--- Drop a collection that was seen empty from its namespace's registry, unless it was registered again meanwhile or
--- less than an hour ago: a writer's proof of registration is good for ten minutes (include/barred.lua), so whoever
--- holds one keeps the entry.
--- Replies with: 1 if it was dropped, else 0.
--- Flags: allow-oom

local registry = KEYS[1] -- zset: collection -> when it was last registered (us)

local name = ARGV[1] -- the collection's name
local seen = ARGV[2] -- the registration (us) that was read before the collection was found empty

--- @include now

if redis.call('ZSCORE', registry, name) ~= seen then return 0 end
if now() - tonumber(seen) < 3600000000 then return 0 end
return redis.call('ZREM', registry, name)
