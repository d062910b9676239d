--- Restore a record from an export: its body, version, times, expiry, creator and updater. A large body was sent to a
--- staging key before, with free bytes for the header, and is not copied.
--- Replies with: documents and bytes by which the collection grew; 1 if it was stored, 0 if it has expired.
--- Refuses: EXISTS, CHANGED, UNREGISTERED, GONE (the staged body has expired).

local record  = KEYS[1] -- string: packed header, then the body
local staged  = KEYS[2] -- string: `margin` bytes, then the body; lives for a minute; not used if `margin` is ''
local expiry  = KEYS[3] -- zset: id -> expiry (ms)
local indexes = {unpack(KEYS, 4)} -- zsets: id -> the score that `kinds` defines

local id         = ARGV[1] -- the id of the record, as the indexes hold it
local body       = ARGV[2] -- stored byte for byte; '' if it is staged
local margin     = ARGV[3] -- bytes before the body in `staged`; '' if it is not staged
local kinds      = ARGV[4] -- see include/score.lua
local registered = ARGV[5] -- see include/admission_error.lua
local condition  = ARGV[6] -- see include/precondition_error.lua
local version    = ARGV[7] -- a number
local created    = ARGV[8] -- us since the epoch
local updated    = ARGV[9] -- us since the epoch
local deadline   = ARGV[10] -- ms since the epoch, '' for never
local creator    = ARGV[11] -- id of the caller who created it
local updater    = ARGV[12] -- id of the caller who updated it

--- @include now
--- @include header
--- @include set
--- @include precondition_error
--- @include admission_error
--- @include former
--- @include restage
--- @include reindex

local at = now()
local before = header(record, at)
local size = margin == '' and #body or redis.call('STRLEN', staged) - margin
local refusal = size < 0 and 'GONE the staged body has expired'
  or precondition_error(condition, before)
  or admission_error(indexes[1], registered, '', size, before, at)
if refusal then return redis.error_reply(refusal) end

local after = former(version, created, updated, deadline, creator, updater, size)
if after.expires > 0 and after.expires * 1000 <= at then return {0, 0, 0} end
if margin == '' then set(record, after, body) else restage(record, staged, after, tonumber(margin)) end
local documents, bytes = reindex(expiry, indexes, kinds, id, before, after)
return {documents, bytes, 1}
