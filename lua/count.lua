--- Count the live records of a collection.
--- Replies with: the number, and the earliest expiry among them (ms, nil = none), until which it stays as it is.
--- Flags: no-writes

local index  = KEYS[1] -- zset: any index of the collection
local expiry = KEYS[2] -- zset: id -> expiry (ms)

--- @include now
--- @include due

local count = redis.call('ZCARD', index)
local earliest = redis.call('ZRANGE', expiry, '0', '0', 'WITHSCORES')[2]
if not earliest then return {count} end
local _, moment = now()
local expired = redis.call('ZCOUNT', expiry, '-inf', due(moment))
if expired > 0 then earliest = redis.call('ZRANGE', expiry, expired, expired, 'WITHSCORES')[2] end
return {count - expired, earliest}
