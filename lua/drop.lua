--- Remove one variable.
--- Replies with: OK.
--- Refuses: DENIED, UNDECLARED, NOTFOUND.
--- Flags: allow-oom
--- Idempotent: if the request has a key (include/once.lua).

local acl       = KEYS[1] -- hash: subject -> verbs
local variables = KEYS[2] -- hash: id -> packed variable
local names     = KEYS[3] -- hash: digest of user and key -> id
local newest    = KEYS[4] -- zset: id -> updated (us)
local lists     = KEYS[5] -- hash: list -> its members, or its length (include/move_between_lists.lua)
local listing   = KEYS[6] -- zset: list, moment, id, of long lists; all scores 0

local subject = ARGV[1] -- see include/denied.lua
local name    = ARGV[2] -- digest of user and key
local fixed   = ARGV[3] -- 15 bytes each: names of the variable's lists that do not depend on its value

--- @include denied
--- @include variable
--- @include move_between_lists

local refusal = denied(acl, subject, 'w')
if refusal then return redis.error_reply(refusal) end
local id = redis.call('HGET', names, name)
local packed = id and redis.call('HGET', variables, id)
if not packed then return redis.error_reply('NOTFOUND no such key') end
local before = variable(packed)
redis.call('HDEL', names, name)
redis.call('HDEL', variables, id)
redis.call('ZREM', newest, id)
move_between_lists(lists, listing, fixed .. before.valued, '', before.updated .. id)
return redis.status_reply('OK')
