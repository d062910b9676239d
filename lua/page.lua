--- Read one page of a collection's ids in the order of an index, and the number of all its records.
--- Replies with: total, ids, the size of each (bytes), so that the records can be read in portions of bounded
--- size; the earliest expiry in the collection (ms, nil = none), until which the page stays as it is; the score of the
--- last id if there are more after it, else nil.
--- Refuses: SWEEPNEEDED (expired members are still in the index: sweep, then ask again), INCOMPLETE (the index does
--- not have all records yet: fill it, then ask again).
--- Flags: no-writes

local index   = KEYS[1] -- zset: id -> the score by which the page is sorted
local created = KEYS[2] -- zset: id -> created (us), of all records
local sizes   = KEYS[3] -- zset: id -> size (bytes)
local expiry  = KEYS[4] -- zset: id -> expiry (ms)

local offset     = ARGV[1] -- ids to skip
local limit      = ARGV[2] -- ids in the page, 1 to 1000: unpack puts them on Lua's stack
local descending = ARGV[3] -- '1': the exact reverse of the ascending order
local moment     = ARGV[4] -- us: when all due members were swept; members due since then are listed; '' = now
local prefix     = ARGV[5] or '' -- only ids that begin so, in an index whose scores are all 0
local score      = ARGV[6] or '' -- with `last`: the page continues behind this score and id; '' = it begins at `offset`
local last       = ARGV[7] or '' -- see `score`

--- @include now
--- @include due
--- @include around

local _, present = now()
if redis.call('ZCOUNT', expiry, '-inf', due(moment ~= '' and moment or present)) > 0 then
  return redis.error_reply('SWEEPNEEDED expired members are to be swept first')
end
local earliest = redis.call('ZRANGE', expiry, 0, 0, 'WITHSCORES')[2] or false
local from, upto, reversed = 0, redis.call('ZCARD', index), descending == '1'
local all = upto
if all < redis.call('ZCARD', created) then return redis.error_reply('INCOMPLETE the index is to be filled first') end
if prefix ~= '' then -- no id has the byte 255, which UTF-8 does not use
  from = redis.call('ZLEXCOUNT', index, '-', '(' .. prefix)
  upto = redis.call('ZLEXCOUNT', index, '-', '(' .. prefix .. '\255')
end
local total, first, stop = upto - from, from + offset, upto - offset
if score ~= '' then
  stop, first = around(index, score, last)
  first, stop = math.max(first, from), math.min(stop, upto)
end
local ids
if reversed then
  first = math.max(from, stop - limit)
  ids = stop > first and redis.call('ZREVRANGE', index, all - stop, all - first - 1) or {}
else
  stop = math.min(upto, first + limit)
  ids = stop > first and redis.call('ZRANGE', index, first, stop - 1) or {}
end
local more = #ids > 0 and (reversed and first > from or not reversed and stop < upto)
local continues = more and redis.call('ZSCORE', index, ids[#ids])
return {total, ids, #ids > 0 and redis.call('ZMSCORE', sizes, unpack(ids)) or ids, earliest, continues}
