--- Restore a variable from an export: its id and times, and its entries in all lists.
--- Replies with: 1 if it was stored, 0 if another variable has its id.
--- Refuses: CHANGED (the existing variable has changed since it was read).

local variables = KEYS[1] -- hash: id -> packed variable
local names     = KEYS[2] -- hash: digest of user and key -> id
local newest    = KEYS[3] -- zset: id -> updated (us)
local lists     = KEYS[4] -- hash: list -> its members, or its length (include/move_between_lists.lua)
local listing   = KEYS[5] -- zset: list, moment, id, of long lists; all scores 0

local id     = ARGV[1] -- 6 bytes
local seen   = ARGV[2] -- the packed variable of this user and key as it was seen, '' if there was none
local name   = ARGV[3] -- digest of user and key
local fixed  = ARGV[4] -- 15 bytes each: names of the variable's lists that do not depend on its value
local moment = ARGV[5] -- when it was updated (us)
local packed = ARGV[6] -- the variable

--- @include variable
--- @include move_between_lists

local had = redis.call('HGET', names, name)
local old = had and redis.call('HGET', variables, had) or ''
if old ~= seen then return redis.error_reply('CHANGED the variable has changed') end
if had ~= id and redis.call('HEXISTS', variables, id) == 1 then return 0 end

local after = variable(packed)
redis.call('HSET', variables, id, packed)
redis.call('HSET', names, name, id)
redis.call('ZADD', newest, moment, id)
if had and had ~= id then
  redis.call('HDEL', variables, had)
  redis.call('ZREM', newest, had)
end
local before = old ~= '' and variable(old)
local from = before and fixed .. before.valued or ''
move_between_lists(lists, listing, from, fixed .. after.valued, before and before.updated .. had, after.updated .. id)
return 1
