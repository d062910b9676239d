--- One page of the ids of a collection, in the order of an index, and how many there are in all.
--- Replies with: total, ids.
--- Refuses: DUE (expired members stand in the way: sweep, then ask again).
--- Flags: no-writes

local index  = KEYS[1] -- zset: id -> what the page is sorted by
local expiry = KEYS[2] -- zset: id -> expiry (ms)

local offset     = ARGV[1] -- ids to pass over
local limit      = ARGV[2] -- ids in the page
local descending = ARGV[3] -- '1': the exact reverse of the ascending order

--- @include now

local due = redis.call('ZCOUNT', expiry, '-inf', '(' .. string.format('%.0f', math.floor(now() / 1000)))
if due > 0 then return redis.error_reply('DUE expired members are to be swept first') end
local command = descending == '1' and 'ZREVRANGE' or 'ZRANGE'
local last = string.format('%.0f', tonumber(offset) + tonumber(limit) - 1)
return {redis.call('ZCARD', index), redis.call(command, index, offset, last)}
