--- Take expired members out of a collection's indexes, a bounded number at a time.
--- Replies with: documents and bytes that the collection grew by (negative), 1 if more are due (else 0), how many
--- records the first index still names, when that was so (us).
--- Flags: allow-oom

local expiry  = KEYS[1] -- zset: id -> expiry (ms)
local indexes = {unpack(KEYS, 2)} -- zsets: id -> what `kinds` says

local kinds = ARGV[1] -- see include/score.lua
local limit = ARGV[2] -- members to take out at the most

--- @include now
--- @include expire

local at = now()
local gone, bytes = expire(expiry, indexes, kinds, at, limit)
return {-gone, -bytes, gone == tonumber(limit) and 1 or 0, redis.call('ZCARD', indexes[1]), at}
