--- Drop a collection that was seen empty from its namespace's registry, unless it was registered again since, or less
--- than an hour before it was seen empty.
--- A first record is written with a proof of registration that is at most ten minutes old (include/admission_error.lua). So
--- whoever still holds one that the registry forgets here used it up fifty minutes before the collection was found
--- empty: it hides nothing, however late this script comes, and clocks of two nodes may be fifty minutes apart.
--- Replies with: 1 if it was dropped, else 0.
--- Flags: allow-oom

local registry = KEYS[1] -- zset: collection -> when it was last registered (us)

local name  = ARGV[1] -- the collection's name
local seen  = ARGV[2] -- its registration (us), read before it was found empty
local empty = ARGV[3] -- when it was found empty (us)

if empty - seen < 3600000000 then return 0 end
if tonumber(redis.call('ZSCORE', registry, name)) ~= tonumber(seen) then return 0 end
return redis.call('ZREM', registry, name)
