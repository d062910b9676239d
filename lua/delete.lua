--- Remove a record and its index entries.
--- Replies with: documents and bytes by which the collection grew (negative; bytes of a journal's entry count).
--- Refuses: DENIED, UNDECLARED, NOTFOUND, CHANGED.
--- Flags: allow-oom
--- Varies: record, id, condition.
--- Idempotent: if the request has a key (include/once.lua).

local record  = KEYS[1] -- string: packed header, then the body
local acl     = KEYS[2] -- hash: subject -> verbs
local expiry  = KEYS[3] -- zset: id -> expiry (ms)
local indexes = {unpack(KEYS, 4)} -- zsets: id -> the score that `kinds` defines; then the keys of `journal`

local journal = #KEYS > 3 + #ARGV[3] and table.remove(ARGV) or '' -- sent last, with its keys: include/open_journal.lua
local id        = ARGV[1] -- the id of the record, as the indexes hold it
local condition = ARGV[2] -- see include/precondition_error.lua
local kinds     = ARGV[3] -- see include/score.lua
local subject   = ARGV[4] or '' -- see include/denied.lua

--- @include now
--- @include header
--- @include denied
--- @include precondition_error
--- @include forget
--- @include open_journal
--- @include enter_write

local at = now()
local before = header(record, at)
local refusal = denied(acl, subject, 'd')
  or precondition_error(condition, before)
  or not before and 'NOTFOUND no such key'
if refusal then return redis.error_reply(refusal) end
local log = journal ~= '' and open_journal(journal, indexes, id) or nil
redis.call('UNLINK', record)
forget({id}, expiry, indexes, kinds)
return {-1, (log and enter_write(log, id, before, nil, at) or 0) - before.size}
