--- Restore a record with files from an export: its manifest, version, times, expiry, creator and updater. Its chunks
--- were sent before and get its expiry. The chunks of the record that it replaces are released.
--- Replies with: 1 if it was stored, 0 if it has expired.
--- Refuses: EXISTS, CHANGED, GONE (a chunk has expired).

local record = KEYS[1] -- string: packed header, then the manifest
local chunks = {unpack(KEYS, 2)} -- strings: chunks that the record brings, then those that it no longer names

local manifest  = ARGV[1] -- stored byte for byte
local condition = ARGV[2] -- see include/precondition_error.lua
local version   = ARGV[3] -- a number
local created   = ARGV[4] -- us since the epoch
local updated   = ARGV[5] -- us since the epoch
local deadline  = ARGV[6] -- ms since the epoch, '' for never
local creator   = ARGV[7] -- id of the caller who created it
local updater   = ARGV[8] -- id of the caller who updated it
local brought   = ARGV[9] -- number of chunks that the record brings
local grace     = ARGV[10] -- ms for which a chunk can be read after no manifest names it

--- @include now
--- @include header
--- @include former
--- @include set
--- @include precondition_error
--- @include arrived
--- @include release

local at = now()
local before = header(record, at)
local refusal = precondition_error(condition, before)
  or not arrived(chunks, tonumber(brought)) and 'GONE a chunk has expired'
if refusal then return redis.error_reply(refusal) end

local after = former(version, created, updated, deadline, creator, updater, #manifest)
if after.expires > 0 and after.expires * 1000 <= at then return 0 end
set(record, after, manifest)
for i = 1, tonumber(brought) do
  if after.expires > 0 then
    redis.call('PEXPIREAT', chunks[i], after.expires + grace)
  else
    redis.call('PERSIST', chunks[i])
  end
end
release(chunks, brought + 1, grace)
return 1
