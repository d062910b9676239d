--- Read one variable by its user and key.
--- Replies with: id (6 bytes) and packed variable; nothing if there is none.
--- Refuses: DENIED, UNDECLARED.
--- Flags: no-writes

local acl       = KEYS[1] -- hash: subject -> verbs
local variables = KEYS[2] -- hash: id -> packed variable
local names     = KEYS[3] -- hash: digest of user and key -> id

local subject = ARGV[1] -- see include/denied.lua
local name    = ARGV[2] -- digest of user and key

--- @include denied

local refusal = denied(acl, subject, 'r')
if refusal then return redis.error_reply(refusal) end
local id = redis.call('HGET', names, name)
local packed = id and redis.call('HGET', variables, id)
return packed and {id, packed} or {}
