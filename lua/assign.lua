--- Set a variable: one that is there keeps its id and its creation, one that is not takes the id that is proposed.
--- Replies with: its id (6 bytes).
--- Refuses: DENIED, UNDECLARED.
--- Repeats: not at all where its request has a key (include/once.lua).

local acl       = KEYS[1] -- hash: subject -> verbs
local variables = KEYS[2] -- hash: id -> packed variable
local names     = KEYS[3] -- hash: digest of user and key -> id
local listing   = KEYS[4] -- zset: list, moment, id; all scores 0

local subject  = ARGV[1] -- see include/allowed.lua
local name     = ARGV[2] -- digest of user and key
local proposed = ARGV[3] -- an id that no variable has or had, 6 bytes
local valued   = ARGV[4] -- see include/entries.lua
local rest     = ARGV[5] -- all that a packed variable has behind its creation
local fixed    = {unpack(ARGV, 6)} -- see include/entries.lua

--- @include now
--- @include allowed
--- @include variable
--- @include entries

local refusal = allowed(acl, subject, 'w')
if refusal then return redis.error_reply(refusal) end

local stamp = struct.pack('>I7', now())
local id = redis.call('HGET', names, name)
local packed = id and redis.call('HGET', variables, id)
local before = packed and variable(packed)
redis.call('HSET', variables, id or proposed, stamp .. (before and before.created or stamp) .. rest)
if not id then
  id = proposed
  redis.call('HSET', names, name, id)
end
if before then redis.call('ZREM', listing, unpack(entries(fixed, before.valued, before.updated, id))) end
local scored = {}
for _, member in ipairs(entries(fixed, valued, stamp, id)) do
  scored[#scored + 1] = 0
  scored[#scored + 1] = member
end
redis.call('ZADD', listing, unpack(scored))
return id
