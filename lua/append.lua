--- Append a JSON value to a record's value: elements or a value to an array, members to an object, characters
--- to a string. The bytes that were there stay, and the record keeps its expiry. If asked, a missing record
--- is created.
--- Replies with: version, created (us), updated (us), expires (ms, 0 = never), and where there is a quota the
--- documents and bytes by which the collection grew.
--- Refuses: DENIED, UNDECLARED, NOTFOUND, MISMATCH, TOOLARGE, UNREGISTERED, QUOTA, OVERBUDGET (it would hold
--- Redis for too long: append in the worker).
--- Varies: record, id, value.
--- Idempotent: if the request has a key (include/once.lua).

local record  = KEYS[1] -- string: packed header, then the body
local acl     = KEYS[2] -- hash: subject -> verbs
local expiry  = KEYS[3] -- zset: id -> expiry (ms)
local indexes = {unpack(KEYS, 4)} -- zsets: id -> the score that `kinds` defines

local id              = ARGV[1] -- the id of the record, as the indexes hold it
local value           = ARGV[2] -- valid JSON
local caller          = ARGV[3] -- id of the caller
local kinds           = ARGV[4] -- see include/score.lua
local registered      = ARGV[5] -- see include/admission_error.lua
local limit           = ARGV[6] -- bytes of the largest body
local last            = ARGV[7] -- last byte of the record to read: 255 (header) more than body and value may have
local budget          = ARGV[8] -- steps that the append may take (include/splice.lua)
local creating        = ARGV[9] -- '1': if there is no record, the value becomes one
local remaining_quota = ARGV[10] or '' -- see include/admission_error.lua
local subject         = ARGV[11] or '' -- see include/denied.lua

--- @include now
--- @include header
--- @include set
--- @include denied
--- @include admission_error
--- @include renewed
--- @include keep
--- @include receipt
--- @include join

local OVERBUDGET = 'OVERBUDGET it is to be appended in the worker'

local at, moment = now()
local before, stored = header(record, at, last)
local refusal = denied(acl, subject, 'w')
  or not before and creating ~= '1' and 'NOTFOUND no such key'
  or (before and before.size or 0) + #value > last - 255 and OVERBUDGET
if refusal then return redis.error_reply(refusal) end

local body, left = value, 0
if before then body, left = join(string.sub(stored, before.offset + 1), value, tonumber(budget)) end
refusal = left < 0 and OVERBUDGET
  or not body and 'MISMATCH the value cannot be appended to what is there'
  or #body > tonumber(limit) and 'TOOLARGE the result would be over the limit of ' .. limit .. ' bytes'
  or admission_error(indexes[1], registered, remaining_quota, #body, before, at)
if refusal then return redis.error_reply(refusal) end

local after = renewed(before, at, caller, before and before.expires or 0, #body)
set(record, after, body)
return receipt(after, remaining_quota, keep(expiry, indexes, kinds, id, before, after, moment))
