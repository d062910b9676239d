--- Count the live records of a collection.
--- Replies with: the number.
--- Flags: no-writes

local index  = KEYS[1] -- zset: any index of the collection
local expiry = KEYS[2] -- zset: id -> expiry (ms)

--- @include now
--- @include due

local _, moment = now()
return redis.call('ZCARD', index) - redis.call('ZCOUNT', expiry, '-inf', due(moment))
