--- Set a variable. An existing variable keeps its id and its time of creation; a new one takes the proposed
--- id.
--- Replies with: its id (6 bytes).
--- Refuses: DENIED, UNDECLARED, EXISTS (a variable that was imported has the proposed id: take another one).
--- Idempotent: if the request has a key (include/once.lua).

local acl       = KEYS[1] -- hash: subject -> verbs
local variables = KEYS[2] -- hash: id -> packed variable
local names     = KEYS[3] -- hash: digest of user and key -> id
local newest    = KEYS[4] -- zset: id -> updated (us)
local lists     = KEYS[5] -- hash: list -> its members, or its length (include/move_between_lists.lua)
local listing   = KEYS[6] -- zset: list, moment, id, of long lists; all scores 0

local subject  = ARGV[1] -- see include/denied.lua
local name     = ARGV[2] -- digest of user and key
local proposed = ARGV[3] -- 6 bytes: an id that no variable has or had
local fixed    = ARGV[4] -- 15 bytes each: names of the variable's lists that do not depend on its value
local valued   = ARGV[5] -- 15 bytes each: names of the variable's lists for its value
local rest     = ARGV[6] -- the packed variable after its time of creation

--- @include now
--- @include denied
--- @include variable
--- @include move_between_lists

local refusal = denied(acl, subject, 'w')
if refusal then return redis.error_reply(refusal) end

local at, moment = now()
local stamp = struct.pack('>I7', at)
local id = redis.call('HGET', names, name)
local packed = id and redis.call('HGET', variables, id)
local before = packed and variable(packed)
local after = stamp .. (before and before.created or stamp) .. rest
if id then
  redis.call('HSET', variables, id, after)
elseif redis.call('HSETNX', variables, proposed, after) == 0 then
  return redis.error_reply('EXISTS another variable has this id')
else
  id = proposed
  redis.call('HSET', names, name, id)
end
redis.call('ZADD', newest, moment, id)
local from = before and fixed .. before.valued or ''
move_between_lists(lists, listing, from, fixed .. valued, before and before.updated .. id, stamp .. id)
return id
