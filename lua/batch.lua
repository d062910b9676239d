--- Write several records of one collection in one step: all operations or none. Each sees those before it.
--- Replies with: documents and bytes by which the collection grew; then for each operation the record's version and
--- expiry (ms, 0 = never), both 0 after a delete.
--- Refuses: CHANGED (a record is not in the state that the worker read: read again), OPERATION (the number of the
--- operation, from 0, and the refusal that it alone would get), UNREGISTERED, QUOTA.
--- Idempotent: if the request has a key (include/once.lua).

local expiry  = KEYS[1] -- zset: id -> expiry (ms)
local targets = {unpack(KEYS, 2)} -- the index for each letter of `kinds`; each operation's record; keys of `journal`

local caller          = ARGV[1] -- id of the caller
local kinds           = ARGV[2] -- see include/score.lua
local registered      = ARGV[3] -- see include/admission_error.lua
local remaining_quota = ARGV[4] -- see include/admission_error.lua
local journal         = ARGV[5] -- see include/open_journal.lua; '': there is none
local operations      = {unpack(ARGV, 6)} -- eight for each: op, id, lifetime, condition, state, failure, start, body

--- @include now
--- @include header
--- @include decided
--- @include admission_error
--- @include set
--- @include open_journal
--- @include batched_change
--- @include replaced
--- @include enter_batch

local FIELDS, DUE = 8, 10 -- DUE: members that are due and removed here at most; the sweeper removes the others
local log = journal ~= '' and open_journal(journal, targets, '', ' ') or nil
if log then log.weight = 0 end
local at, moment = now()
local indexes, records = {unpack(targets, 1, #kinds)}, {unpack(targets, #kinds + 1)}
local was, is, bodies, ids, changes, starts = {}, {}, {}, {}, {}, {}
local reply, documents, bytes = {0, 0}, 0, 0
for i, record in ipairs(records) do
  local op, id, lifetime, condition, state, failure, start, body = unpack(operations, (i - 1) * FIELDS + 1, i * FIELDS)
  if not ids[record] then
    ids[record], was[record] = id, header(record, at)
    is[record] = was[record]
    if precondition_error(state, was[record]) then return redis.error_reply('CHANGED the record has changed') end
  end
  local before = is[record]
  local after, refusal = decided(op, before, at, caller, lifetime, condition, failure, #body)
  if refusal then return redis.error_reply(string.format('OPERATION %d %s', i - 1, refusal)) end
  if log then changes[i], starts[record] = batched_change(log, start, id, (after or before).version, body), start end
  is[record], bodies[record] = after, body
  documents = documents + (after and 1 or 0) - (before and 1 or 0)
  bytes = bytes + (after and after.size or 0) - (before and before.size or 0)
  reply[2 * i + 1], reply[2 * i + 2] = after and after.version or 0, after and after.expires or 0
end
local some = documents <= 0 and {size = 0} or nil
local refusal = admission_error(indexes[1], registered, remaining_quota, bytes, some, at, log, documents)
if refusal then return redis.error_reply(refusal) end

for record in pairs(ids) do
  if is[record] then set(record, is[record], bodies[record]) else redis.call('UNLINK', record) end
end
reply[1], reply[2] = replaced(expiry, indexes, kinds, ids, was, is, moment, DUE, log)
if changes[1] then reply[2] = reply[2] + enter_batch(log, changes, ids, was, is, starts, at) end
return reply
