--- Remove the given records and their index entries; records that do not exist are ignored.
--- Replies with: documents and bytes by which the collection grew (negative).
--- Refuses: DENIED, UNDECLARED.
--- Flags: allow-oom
--- Idempotent: if the request has a key (include/once.lua).

local acl    = KEYS[1] -- hash: subject -> verbs
local expiry = KEYS[2] -- zset: id -> expiry (ms)
local rest   = {unpack(KEYS, 3)} -- zsets: id -> the score that `kinds` defines; then strings: the records of `ids`

local subject = ARGV[1] -- see include/denied.lua
local kinds   = ARGV[2] -- see include/score.lua
local ids     = {unpack(ARGV, 3)} -- at most 100 ids of records, as the indexes hold them

--- @include now
--- @include header
--- @include denied
--- @include forget

local refusal = denied(acl, subject, 'd')
if refusal then return redis.error_reply(refusal) end
local at, documents, bytes = now(), 0, 0
for i = #kinds + 1, #rest do
  local before = header(rest[i], at)
  if before then documents, bytes = documents + 1, bytes + before.size end
end
redis.call('UNLINK', unpack(rest, #kinds + 1))
forget(ids, expiry, {unpack(rest, 1, #kinds)}, kinds)
return {-documents, -bytes}
