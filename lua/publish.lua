--- Make a large body the record. The body was sent to a staging key before, with free bytes for the header, and is
--- not copied.
--- Replies with: version, created (us), updated (us), expires (ms, 0 = never), and where there is a quota the
--- documents and bytes by which the collection grew.
--- Refuses: DENIED, UNDECLARED, EXISTS, CHANGED, INVALID, UNREGISTERED, QUOTA (the staged body stays), GONE
--- (it has expired).
--- Idempotent: if the request has a key (include/once.lua).

local record  = KEYS[1] -- string: packed header, then the body
local staged  = KEYS[2] -- string: `margin` bytes, then the body; lives for a minute
local acl     = KEYS[3] -- hash: subject -> verbs
local expiry  = KEYS[4] -- zset: id -> expiry (ms)
local indexes = {unpack(KEYS, 5)} -- zsets: id -> the score that `kinds` defines; then the keys of `journal`

local journal = #KEYS > 4 + #ARGV[4] and table.remove(ARGV) or '' -- sent last, with its keys: include/open_journal.lua
local id              = ARGV[1] -- the id of the record, as the indexes hold it
local margin          = ARGV[2] -- bytes before the body in `staged`
local caller          = ARGV[3] -- id of the caller
local kinds           = ARGV[4] -- see include/score.lua
local registered      = ARGV[5] -- see include/admission_error.lua
local lifetime        = ARGV[6] or '' -- see include/deadline.lua
local condition       = ARGV[7] or '' -- see include/precondition_error.lua
local remaining_quota = ARGV[8] or '' -- see include/admission_error.lua
local subject         = ARGV[9] or '' -- see include/denied.lua

--- @include now
--- @include header
--- @include denied
--- @include precondition_error
--- @include deadline
--- @include admission_error
--- @include renewed
--- @include keep
--- @include open_journal
--- @include receipt
--- @include restage

local size = redis.call('STRLEN', staged) - margin
if size < 0 then return redis.error_reply('GONE the staged body has expired') end

local log = journal ~= '' and open_journal(journal, indexes, id, nil) or nil
local at, moment = now()
local before = header(record, at)
local expires = deadline(lifetime, at, before)
local refusal = denied(acl, subject, 'w')
  or precondition_error(condition, before)
  or not expires and 'INVALID the expiry is not in the future'
  or admission_error(indexes[1], registered, remaining_quota, size, before, at, log)
if refusal then return redis.error_reply(refusal) end

local after = renewed(before, at, caller, expires, size)
restage(record, staged, after, tonumber(margin))
return receipt(after, remaining_quota, keep(expiry, indexes, kinds, id, before, after, moment, log))
