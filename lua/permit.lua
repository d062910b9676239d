--- Check whether a caller may do something in a collection, before a step elsewhere: a body sent ahead, a
--- name in another slot. The script that writes to the collection afterwards checks again.
--- Replies with: OK.
--- Refuses: DENIED, UNDECLARED.
--- Flags: no-writes

local acl = KEYS[1] -- hash: subject -> verbs

local subject = ARGV[1] -- see include/denied.lua
local verb    = ARGV[2] -- see include/denied.lua

--- @include denied

local refusal = denied(acl, subject, verb)
if refusal then return redis.error_reply(refusal) end
return redis.status_reply('OK')
