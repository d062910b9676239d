--- Read one page of a collection's ids in the order of an index, and the number of all its records.
--- Replies with: total, ids, the size of each (bytes), so that the records can be read in portions of bounded
--- size; the earliest expiry in the collection (ms, nil = none), until which the page stays as it is.
--- Refuses: SWEEPNEEDED (expired members are still in the index: sweep, then ask again).
--- Flags: no-writes

local index  = KEYS[1] -- zset: id -> the score by which the page is sorted
local sizes  = KEYS[2] -- zset: id -> size (bytes)
local expiry = KEYS[3] -- zset: id -> expiry (ms)

local offset     = ARGV[1] -- ids to skip
local limit      = ARGV[2] -- ids in the page, 1 to 1000: unpack puts them on Lua's stack
local descending = ARGV[3] -- '1': the exact reverse of the ascending order
local moment     = ARGV[4] -- us: when all due members were swept; members due since then are listed; '' = now

--- @include now
--- @include due

local _, present = now()
if redis.call('ZCOUNT', expiry, '-inf', due(moment ~= '' and moment or present)) > 0 then
  return redis.error_reply('SWEEPNEEDED expired members are to be swept first')
end
local first = redis.call('ZRANGE', expiry, 0, 0, 'WITHSCORES')[2]
local command = descending == '1' and 'ZREVRANGE' or 'ZRANGE'
local ids = redis.call(command, index, offset, offset + limit - 1)
return {redis.call('ZCARD', index), ids, #ids > 0 and redis.call('ZMSCORE', sizes, unpack(ids)) or ids, first}
