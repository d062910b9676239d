--- Apply a JSON merge patch (RFC 7386) to a record's text. What the patch does not name keeps its bytes, and
--- the record keeps its expiry.
--- Replies with: version, created (us), updated (us), expires (ms, 0 = never), and where there is a quota the
--- documents and bytes by which the collection grew; then the new body.
--- Refuses: DENIED, UNDECLARED, NOTFOUND, CHANGED, TOOLARGE, QUOTA, OVERBUDGET (it would hold Redis for too
--- long: merge in the worker).
--- Varies: record, id, patch.

local record  = KEYS[1] -- string: packed header, then the body
local acl     = KEYS[2] -- hash: subject -> verbs
local expiry  = KEYS[3] -- zset: id -> expiry (ms)
local indexes = {unpack(KEYS, 4)} -- zsets: id -> the score that `kinds` defines

local id              = ARGV[1] -- the id of the record, as the indexes hold it
local patch           = ARGV[2] -- a JSON object or array, validated
local caller          = ARGV[3] -- id of the caller
local kinds           = ARGV[4] -- see include/score.lua
local limit           = ARGV[5] -- bytes of the largest body
local last            = ARGV[6] -- last byte of the record to read: 255 (header) more than body and patch may have
local budget          = ARGV[7] -- steps that the merge may take (include/splice.lua)
local condition       = ARGV[8] or '' -- see include/precondition_error.lua
local remaining_quota = ARGV[9] or '' -- see include/admission_error.lua
local subject         = ARGV[10] or '' -- see include/denied.lua

--- @include now
--- @include header
--- @include set
--- @include denied
--- @include precondition_error
--- @include admission_error
--- @include renewed
--- @include keep
--- @include receipt
--- @include splice

local OVERBUDGET = 'OVERBUDGET the merge is to be done in the worker'

local at, moment = now()
local before, stored = header(record, at, last)
local refusal = denied(acl, subject, 'w')
  or precondition_error(condition, before)
  or not before and 'NOTFOUND no such key'
  or before.size + #patch > last - 255 and OVERBUDGET
if refusal then return redis.error_reply(refusal) end

local body = splice(string.sub(stored, before.offset + 1), patch, tonumber(budget))
refusal = not body and OVERBUDGET
  or #body > tonumber(limit) and 'TOOLARGE the result would be over the limit of ' .. limit .. ' bytes'
  or admission_error(indexes[1], '', remaining_quota, #body, before, at)
if refusal then return redis.error_reply(refusal) end

local after = renewed(before, at, caller, before.expires, #body)
set(record, after, body)
local reply = receipt(after, remaining_quota, keep(expiry, indexes, kinds, id, before, after, moment))
reply[#reply + 1] = body
return reply
