--- Store a record with files: a manifest, whose blobs were sent ahead chunk by chunk. The chunks that it
--- brings get its expiry; the chunks that it no longer names are released.
--- Replies with: version, created (us), updated (us), expires (ms, 0 = never).
--- Refuses: DENIED, UNDECLARED, EXISTS, CHANGED, INVALID, GONE (a chunk has expired).
--- Idempotent: if the request has a key (include/once.lua).

local record = KEYS[1] -- string: packed header, then the manifest
local acl    = KEYS[2] -- hash: subject -> verbs
local chunks = {unpack(KEYS, 3)} -- strings: chunks that the record brings, then those that it no longer names

local manifest  = ARGV[1] -- stored byte for byte
local caller    = ARGV[2] -- id of the caller
local lifetime  = ARGV[3] -- lifetime of the record and of the chunks it brings: see include/deadline.lua
local least     = ARGV[4] -- ms since the epoch: the record lives at least until then, for its older blobs; 0 = any time
local condition = ARGV[5] -- see include/attachment_error.lua
local brought   = ARGV[6] -- number of chunks that the record brings
local lasting   = ARGV[7] -- number of these, the last ones, that live as long as the record
local grace     = ARGV[8] -- ms for which a chunk can be read after no manifest names it
local subject   = ARGV[9] -- see include/denied.lua

--- @include now
--- @include header
--- @include deadline
--- @include set
--- @include denied
--- @include attachment_error
--- @include arrived
--- @include release
--- @include renewed

local at = now()
local before = header(record, at)
local expires = deadline(lifetime, at, before)
local refusal = denied(acl, subject, 'w')
  or attachment_error(condition, record, before)
  or not expires and 'INVALID the expiry is not in the future'
  or not arrived(chunks, tonumber(brought)) and 'GONE a chunk has expired'
if refusal then return redis.error_reply(refusal) end

local lasts = expires > 0 and math.max(expires, tonumber(least)) or 0
local after = renewed(before, at, caller, lasts, #manifest)
set(record, after, manifest)
for i = 1, tonumber(brought) do
  local ms = i > brought - lasting and after.expires or expires
  if ms > 0 then redis.call('PEXPIREAT', chunks[i], ms + grace) else redis.call('PERSIST', chunks[i]) end
end
release(chunks, brought + 1, grace)
return {after.version, after.created, after.updated, after.expires}
