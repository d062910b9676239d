--- Make a large body the record. It was sent ahead to a staging key, with free bytes for the header; it is
--- not copied.
--- Replies with: version, created (us), updated (us), expires (ms, 0 = never), documents and bytes by which
--- the collection grew.
--- Refuses: DENIED, UNDECLARED, EXISTS, CHANGED, INVALID, UNREGISTERED, QUOTA (the staged body stays), GONE
--- (it has expired).
--- Idempotent: if the request has a key (include/once.lua).

local record  = KEYS[1] -- string: packed header, then the body
local staged  = KEYS[2] -- string: `margin` bytes, then the body; lives for a minute
local acl     = KEYS[3] -- hash: subject -> verbs
local expiry  = KEYS[4] -- zset: id -> expiry (ms)
local indexes = {unpack(KEYS, 5)} -- zsets: id -> the score that `kinds` defines

local id              = ARGV[1] -- the id of the record, as the indexes hold it
local margin          = ARGV[2] -- bytes before the body in `staged`
local caller          = ARGV[3] -- id of the caller
local lifetime        = ARGV[4] -- see include/deadline.lua
local condition       = ARGV[5] -- see include/precondition_error.lua
local kinds           = ARGV[6] -- see include/score.lua
local registered      = ARGV[7] -- see include/admission_error.lua
local remaining_quota = ARGV[8] -- see include/admission_error.lua
local subject         = ARGV[9] -- see include/denied.lua

--- @include now
--- @include header
--- @include packed
--- @include store

local size = redis.call('STRLEN', staged) - margin
if size < 0 then return redis.error_reply('GONE the staged body has expired') end

local at = now()
return store(at, header(record, at), {
  acl = acl, expiry = expiry, indexes = indexes, kinds = kinds,
  subject = subject, id = id, caller = caller, lifetime = lifetime, condition = condition,
  registered = registered, remaining_quota = remaining_quota, size = size,
}, function(after)
  redis.call('SETRANGE', staged, 0, packed(after, tonumber(margin)))
  if after.expires > 0 then
    redis.call('PEXPIREAT', staged, after.expires)
  else
    redis.call('PERSIST', staged)
  end
  redis.call('RENAME', staged, record)
end)
