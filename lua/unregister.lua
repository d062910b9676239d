--- Drop a collection that was found empty from its namespace's registry, unless it was registered again
--- since, or less than an hour before it was found empty. A first record needs a registration that is at most
--- ten minutes old (include/admission_error.lua). So a writer that still relies on the registration dropped
--- here used it fifty minutes or more before the collection was found empty. No record is hidden, however
--- late this script runs, even if the clocks of two nodes differ by fifty minutes.
--- Replies with: 1 if it was dropped, else 0.
--- Flags: allow-oom

local registry = KEYS[1] -- zset: collection -> when it was last registered (us)

local name  = ARGV[1] -- the collection's name
local seen  = ARGV[2] -- its registration (us), read before it was found empty
local empty = ARGV[3] -- when it was found empty (us)

if empty - seen < 3600000000 then return 0 end
if tonumber(redis.call('ZSCORE', registry, name)) ~= tonumber(seen) then return 0 end
return redis.call('ZREM', registry, name)
