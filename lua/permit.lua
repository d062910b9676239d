--- Say whether a caller may do this in a collection, where something is to be done elsewhere first: what is sent ahead,
--- named in another slot. The script that does it here in the end decides again.
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
