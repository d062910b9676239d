--- One page of a list of variables within a span of time, newest first, ties by id, and how many there are in all. Two
--- ranks and one range: the last page costs what the first one does.
--- Replies with: total, ids (6 bytes each), packed variables of the first ids, as many as `budget` allows, one at least.
--- Refuses: DENIED, UNDECLARED.
--- Flags: no-writes

local acl       = KEYS[1] -- hash: subject -> verbs
local variables = KEYS[2] -- hash: id -> packed variable
local listing   = KEYS[3] -- zset: list, moment, id; all scores 0

local subject = ARGV[1] -- see include/allowed.lua
local low     = ARGV[2] -- list and moment: from here
local high    = ARGV[3] -- list and moment: up to here, exclusive
local offset  = ARGV[4] -- variables to pass over
local limit   = ARGV[5] -- variables in the page, 1 to 100
local budget  = ARGV[6] -- bytes of packed variables from which on none is added

--- @include allowed

local refusal = allowed(acl, subject, 'r')
if refusal then return redis.error_reply(refusal) end

local from = redis.call('ZLEXCOUNT', listing, '-', '(' .. low)
local upto = math.max(from, redis.call('ZLEXCOUNT', listing, '-', '(' .. high))
local last = upto - 1 - offset
local first = math.max(from, last - limit + 1)
if last < first then return {upto - from, {}, {}} end

local ids, packed, size = {}, {}, 0
local members = redis.call('ZRANGE', listing, first, last)
for i = #members, 1, -1 do
  local id = string.sub(members[i], -6)
  ids[#ids + 1] = id
  if size <= tonumber(budget) then
    packed[#packed + 1] = redis.call('HGET', variables, id)
    size = size + (packed[#packed] and #packed[#packed] or 0)
  end
end
return {upto - from, ids, packed}
