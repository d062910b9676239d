--- Store a record, replacing any earlier one, and index it.
--- Replies with: version, created (us), updated (us), expires (ms, 0 = never), documents and bytes by which
--- the collection grew.
--- Refuses: DENIED, UNDECLARED, CHANGED, INVALID, UNREGISTERED, QUOTA.
--- Varies: record, id, body.
--- Idempotent: if the request has a key (include/once.lua).

local record  = KEYS[1] -- string: packed header, then the body
local acl     = KEYS[2] -- hash: subject -> verbs
local expiry  = KEYS[3] -- zset: id -> expiry (ms)
local indexes = {unpack(KEYS, 4)} -- zsets: id -> the score that `kinds` defines

local id              = ARGV[1] -- the id of the record, as the indexes hold it
local body            = ARGV[2] -- stored byte for byte
local caller          = ARGV[3] -- id of the caller
local lifetime        = ARGV[4] -- see include/deadline.lua
local condition       = ARGV[5] -- see include/precondition_error.lua
local kinds           = ARGV[6] -- see include/score.lua
local registered      = ARGV[7] -- see include/admission_error.lua
local remaining_quota = ARGV[8] -- see include/admission_error.lua
local subject         = ARGV[9] -- see include/denied.lua

--- @include now
--- @include header
--- @include set
--- @include store

local at = now()
return store(at, header(record, at), {
  acl = acl, expiry = expiry, indexes = indexes, kinds = kinds,
  subject = subject, id = id, caller = caller, lifetime = lifetime, condition = condition,
  registered = registered, remaining_quota = remaining_quota, size = #body,
}, function(after) set(record, after, body) end)
