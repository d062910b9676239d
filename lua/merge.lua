--- Apply a JSON merge patch (RFC 7386) to a record's text. What the patch does not name keeps its bytes, and
--- the record keeps its expiry.
--- Replies with: version, created (us), updated (us), expires (ms, 0 = never), documents and bytes by which
--- the collection grew, the new body.
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
local condition       = ARGV[4] -- see include/precondition_error.lua
local kinds           = ARGV[5] -- see include/score.lua
local remaining_quota = ARGV[6] -- see include/admission_error.lua
local limit           = ARGV[7] -- bytes of the largest body
local longest         = ARGV[8] -- bytes of the largest body and patch, together, that are merged in Redis
local budget          = ARGV[9] -- steps that the merge may take (include/splice.lua)
local subject         = ARGV[10] -- see include/denied.lua

--- @include now
--- @include header
--- @include set
--- @include denied
--- @include store
--- @include splice

local OVERBUDGET = 'OVERBUDGET the merge is to be done in the worker'

local at = now()
local before = header(record, at)
local refusal = denied(acl, subject, 'w')
  or precondition_error(condition, before)
  or not before and 'NOTFOUND no such key'
  or before.size + #patch > tonumber(longest) and OVERBUDGET
if refusal then return redis.error_reply(refusal) end

local body = splice(redis.call('GETRANGE', record, before.offset, -1), patch, tonumber(budget))
refusal = not body and OVERBUDGET
  or #body > tonumber(limit) and 'TOOLARGE the result would be over the limit of ' .. limit .. ' bytes'
if refusal then return redis.error_reply(refusal) end

local reply = store(at, before, {
  acl = acl, expiry = expiry, indexes = indexes, kinds = kinds,
  subject = '', id = id, caller = caller, lifetime = '=', condition = '',
  registered = '', remaining_quota = remaining_quota, size = #body,
}, function(after) set(record, after, body) end)
if not reply.err then reply[7] = body end
return reply
