--- Store a record that is not there yet, and index it.
--- Replies with: version, created (us), updated (us), expires (ms, 0 = never), and where there is a quota the
--- documents and bytes by which the collection grew.
--- Refuses: DENIED, UNDECLARED, EXISTS, INVALID, UNREGISTERED, QUOTA.
--- Varies: record, id, body.
--- Idempotent: if the request has a key (include/once.lua).

local record  = KEYS[1] -- string: packed header, then the body
local acl     = KEYS[2] -- hash: subject -> verbs
local expiry  = KEYS[3] -- zset: id -> expiry (ms)
local indexes = {unpack(KEYS, 4)} -- zsets: id -> the score that `kinds` defines; then the keys of `journal`

local journal = #KEYS > 3 + #ARGV[4] and table.remove(ARGV) or '' -- sent last, with its keys: include/open_journal.lua
local id              = ARGV[1] -- the id of the record, as the indexes hold it
local body            = ARGV[2] -- stored byte for byte
local caller          = ARGV[3] -- id of the caller
local kinds           = ARGV[4] -- see include/score.lua
local registered      = ARGV[5] -- see include/admission_error.lua
local lifetime        = ARGV[6] or '' -- see include/deadline.lua
local remaining_quota = ARGV[7] or '' -- see include/admission_error.lua
local subject         = ARGV[8] or '' -- see include/denied.lua

--- @include now
--- @include header
--- @include set
--- @include denied
--- @include precondition_error
--- @include deadline
--- @include admission_error
--- @include renewed
--- @include keep
--- @include open_journal
--- @include receipt

local log = journal ~= '' and open_journal(journal, indexes, id, body) or nil
local at, moment = now()
local before = header(record, at)
local expires = deadline(lifetime, at, before)
local refusal = denied(acl, subject, 'w')
  or precondition_error('new', before)
  or not expires and 'INVALID the expiry is not in the future'
  or admission_error(indexes[1], registered, remaining_quota, #body, before, at, log)
if refusal then return redis.error_reply(refusal) end

local after = renewed(before, at, caller, expires, #body)
set(record, after, body)
return receipt(after, remaining_quota, keep(expiry, indexes, kinds, id, before, after, moment, log))
