--- Remove one variable.
--- Replies with: OK.
--- Refuses: DENIED, UNDECLARED, NOTFOUND.
--- Flags: allow-oom
--- Repeats: not at all where its request has a key (include/once.lua).

local acl       = KEYS[1] -- hash: subject -> verbs
local variables = KEYS[2] -- hash: id -> packed variable
local names     = KEYS[3] -- hash: digest of user and key -> id
local listing   = KEYS[4] -- zset: list, moment, id; all scores 0

local subject = ARGV[1] -- see include/allowed.lua
local name    = ARGV[2] -- digest of user and key
local fixed   = {unpack(ARGV, 3)} -- see include/entries.lua

--- @include allowed
--- @include variable
--- @include entries

local refusal = allowed(acl, subject, 'w')
if refusal then return redis.error_reply(refusal) end
local id = redis.call('HGET', names, name)
local packed = id and redis.call('HGET', variables, id)
if not packed then return redis.error_reply('NOTFOUND there is no such variable') end
local before = variable(packed)
redis.call('HDEL', names, name)
redis.call('HDEL', variables, id)
redis.call('ZREM', listing, unpack(entries(fixed, before.valued, before.updated, id)))
return redis.status_reply('OK')
