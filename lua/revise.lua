--- Take a new revision; also when memory is full, so that what was granted can be taken back.
--- Replies with: a number, higher than all before.
--- Flags: allow-oom

local revision = KEYS[1] -- string: the latest one

local above = ARGV[1] -- a number that it is to be above as well: a Redis that failed over may have lost some

--- @include renew

local after = math.max(tonumber(redis.call('GET', revision)) or 0, tonumber(above)) + 1
renew(revision, after)
return after
