--- Remove all variables of a collection in one step, however many there are: UNLINK removes five keys, and
--- Redis frees their memory in a thread of its own.
--- Replies with: the number of variables that there were.
--- Refuses: DENIED, UNDECLARED.
--- Flags: allow-oom
--- Idempotent: if the request has a key (include/once.lua).

local acl       = KEYS[1] -- hash: subject -> verbs
local variables = KEYS[2] -- hash: id -> packed variable
local names     = KEYS[3] -- hash: digest of user and key -> id
local newest    = KEYS[4] -- zset: id -> updated (us)
local lists     = KEYS[5] -- hash: list -> its members, or its length (include/move_between_lists.lua)
local listing   = KEYS[6] -- zset: list, moment, id, of long lists; all scores 0

local subject = ARGV[1] -- see include/denied.lua

--- @include denied

local refusal = denied(acl, subject, 'w')
if refusal then return redis.error_reply(refusal) end
local count = redis.call('HLEN', variables)
redis.call('UNLINK', variables, names, newest, lists, listing)
return count
