--- Remove a record with files, and release its chunks.
--- Replies with: OK.
--- Refuses: DENIED, UNDECLARED, NOTFOUND, CHANGED.
--- Flags: allow-oom
--- Idempotent: if the request has a key (include/once.lua).

local record = KEYS[1] -- string: packed header, then the manifest
local acl    = KEYS[2] -- hash: subject -> verbs
local chunks = {unpack(KEYS, 3)} -- strings: all chunks that the manifest names

local condition = ARGV[1] -- see include/attachment_error.lua
local grace     = ARGV[2] -- ms for which a chunk can be read after no manifest names it
local subject   = ARGV[3] -- see include/denied.lua

--- @include now
--- @include header
--- @include denied
--- @include attachment_error
--- @include release

local at = now()
local before = header(record, at)
local refusal = denied(acl, subject, 'd')
  or attachment_error(condition, record, before)
  or not before and 'NOTFOUND no such key'
if refusal then return redis.error_reply(refusal) end
redis.call('UNLINK', record)
release(chunks, 1, grace)
return redis.status_reply('OK')
