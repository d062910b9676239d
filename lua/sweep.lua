--- Remove expired members from a collection's indexes, at most a given number; trim its journal, if it has one.
--- Replies with: documents and bytes by which the collection grew (negative), 1 if more members have expired or more
--- entries are too old (else 0), the number of records left in the first index, the time of the sweep (us), 1 if there
--- is a journal (else 0).
--- Flags: allow-oom

local expiry  = KEYS[1] -- zset: id -> expiry (ms)
local indexes = {unpack(KEYS, 2)} -- zsets: id -> the score that `kinds` defines; then a stream and a hash: the journal

local kinds = ARGV[1] -- see include/score.lua
local limit = ARGV[2] -- most members to remove

--- @include now
--- @include expire
--- @include stored_journal
--- @include trim_journal

local journal = stored_journal(indexes)
local at, moment = now()
local gone, bytes, entered = expire(expiry, indexes, kinds, moment, limit, journal)
local trimmed, older = 0, false
if journal then trimmed, older = trim_journal(journal, at) end
local more = (older or gone == tonumber(limit)) and 1 or 0
return {-gone, entered - trimmed - bytes, more, redis.call('ZCARD', indexes[1]), at, journal and 1 or 0}
