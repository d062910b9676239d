--- Remove expired members from a collection's indexes, at most a given number.
--- Replies with: documents and bytes by which the collection grew (negative), 1 if more members are due (else
--- 0), the number of records left in the first index, the time of the sweep (us).
--- Flags: allow-oom

local expiry  = KEYS[1] -- zset: id -> expiry (ms)
local indexes = {unpack(KEYS, 2)} -- zsets: id -> the score that `kinds` defines

local kinds = ARGV[1] -- see include/score.lua
local limit = ARGV[2] -- most members to remove

--- @include now
--- @include expire

local at, moment = now()
local gone, bytes = expire(expiry, indexes, kinds, moment, limit)
return {-gone, -bytes, gone == tonumber(limit) and 1 or 0, redis.call('ZCARD', indexes[1]), at}
