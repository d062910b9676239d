--- Read one page of a list of variables within a span of time, newest first, then by id, and the number of
--- all of them. It takes two ranks and one range, or reads a short list in one piece, so the last page costs
--- as much as the first one.
--- Replies with: total, ids (6 bytes each), packed variables of the first ids, as many as `budget` allows,
--- one at least.
--- Refuses: DENIED, UNDECLARED.
--- Flags: no-writes

local acl       = KEYS[1] -- hash: subject -> verbs
local variables = KEYS[2] -- hash: id -> packed variable
local newest    = KEYS[3] -- zset: id -> updated (us)
local lists     = KEYS[4] -- hash: list -> its members, or its length (include/move_between_lists.lua)
local listing   = KEYS[5] -- zset: list, moment, id, of long lists; all scores 0

local subject = ARGV[1] -- see include/denied.lua
local list    = ARGV[2] -- name of a list, 15 bytes; '': all variables
local since   = ARGV[3] -- 7 bytes, us: from this moment on
local before  = ARGV[4] -- 7 bytes, us: before this moment
local offset  = ARGV[5] -- variables to skip
local limit   = ARGV[6] -- variables in the page, 1 to 100
local budget  = ARGV[7] -- bytes of packed variables after which no further one is added

--- @include denied
--- @include short_list_ids
--- @include slice

local refusal = denied(acl, subject, 'r')
if refusal then return redis.error_reply(refusal) end

local total, ids
local text = list ~= '' and (redis.call('HGET', lists, list) or '')
if text and #text ~= 6 then
  local found = short_list_ids(text, struct.unpack('>I7', since), struct.unpack('>I7', before))
  total, ids = #found, {unpack(found, offset + 1, math.min(offset + limit, #found))}
else
  local from, upto
  if text then
    from = redis.call('ZLEXCOUNT', listing, '-', '(' .. list .. since)
    upto = redis.call('ZLEXCOUNT', listing, '-', '(' .. list .. before)
  else
    from = redis.call('ZCOUNT', newest, '-inf', string.format('(%.0f', struct.unpack('>I7', since)))
    upto = redis.call('ZCOUNT', newest, '-inf', string.format('(%.0f', struct.unpack('>I7', before)))
  end
  upto = math.max(from, upto)
  total, ids = upto - from, slice(text and listing or newest, from, upto, offset, limit)
end

local packed, size = {}, 0
for i, id in ipairs(ids) do
  if size > tonumber(budget) then break end
  packed[i] = redis.call('HGET', variables, id)
  size = size + (packed[i] and #packed[i] or 0)
end
return {total, ids, packed}
