--- Apply a JSON merge patch (RFC 7386) to a record's text. What the patch does not name keeps its bytes.
--- Replies with: version, created (us), updated (us), expires (ms, 0 = never), documents and bytes that the
--- collection grew by, the new body.
--- Refuses: NOTFOUND, CHANGED, TOOLARGE, QUOTA, LONG (it would hold Redis for too long: merge it in the worker).

local record  = KEYS[1] -- string: packed header, then the body
local expiry  = KEYS[2] -- zset: id -> expiry (ms)
local indexes = {unpack(KEYS, 3)} -- zsets: id -> what `kinds` says

local id        = ARGV[1] -- the id of the record, as the indexes hold it
local patch     = ARGV[2] -- a JSON object or array, validated
local by        = ARGV[3] -- id of the caller
local condition = ARGV[4] -- see include/unmet.lua
local kinds     = ARGV[5] -- see include/score.lua
local room      = ARGV[6] -- see include/barred.lua
local limit     = ARGV[7] -- largest body, bytes
local longest   = ARGV[8] -- largest body that is merged here, bytes
local budget    = ARGV[9] -- scanning steps that the merge may take here

--- @include now
--- @include header
--- @include unmet
--- @include barred
--- @include set
--- @include keep
--- @include splice

local at = now()
local before = header(record, at)
local refusal = unmet(condition, before)
if refusal then return redis.error_reply(refusal) end
if not before then return redis.error_reply('NOTFOUND there is no such record') end
if before.size + #patch > tonumber(longest) then return redis.error_reply('LONG it is to be merged in the worker') end

local body = splice(string.sub(redis.call('GET', record), -before.size), patch, tonumber(budget))
if not body then return redis.error_reply('LONG it is to be merged in the worker') end
if #body > tonumber(limit) then return redis.error_reply('TOOLARGE the merged document would be over the limit') end
refusal = barred(before, #body, indexes, '', room, at)
if refusal then return redis.error_reply(refusal) end

local after = {
  version = before.version + 1, created = before.created, updated = at, expires = before.expires,
  creator = before.creator, updater = by, size = #body,
}
set(record, after, body)
local documents, bytes = keep(id, before, after, expiry, indexes, kinds, at)
return {after.version, after.created, after.updated, after.expires, documents, bytes, body}
