--- Enter records in an index, unless it has them: a part of the work for which the first list in this order waits.
--- As soon as the index exists, writes enter new records, and move records that it has. So the index has all records
--- when a walk over all ids has ended.
--- Replies with: the number of entries that were added.

local index   = KEYS[1] -- zset: id -> the score that `kind` defines
local created = KEYS[2] -- zset: id -> created (us), of all records; others are not entered
local records = {unpack(KEYS, 3)} -- strings: packed header, then the body; one for each of `ids`

local kind = ARGV[1] -- see include/score.lua
local ids  = {unpack(ARGV, 2)} -- 1 to 100 ids of records, as the indexes hold them

--- @include now
--- @include header
--- @include score

local at, entries, listed = now(), {}, redis.call('ZMSCORE', created, unpack(ids))
for i, present in ipairs(redis.call('ZMSCORE', index, unpack(ids))) do
  if not present and listed[i] then
    local found = header(records[i], at) -- nil: it has expired, and is not swept yet
    entries[#entries + 1], entries[#entries + 2] = found and score(kind, found) or 0, ids[i]
  end
end
return #entries > 0 and redis.call('ZADD', index, unpack(entries)) or 0
