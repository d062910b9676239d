--- Compare one record with its entries in the collection's indexes and expiry set, and repair them if asked.
--- Replies with: the faults, a text each. Entries of an expired record that has not been swept yet are no fault, nor
--- are entries that the indexes u and n do not have (yet): a list in their order fills them first (fill_index.lua).
--- Flags: allow-oom

local record  = KEYS[1] -- string: packed header, then the body
local expiry  = KEYS[2] -- zset: id -> expiry (ms)
local indexes = {unpack(KEYS, 3)} -- zsets: id -> the score that `kinds` defines

local id     = ARGV[1] -- the id of the record, as the indexes hold it
local kinds  = ARGV[2] -- see include/score.lua
local repair = ARGV[3] -- '1': repair the faults

--- @include now
--- @include header
--- @include score

local at = now()
local found = header(record, at)
local expires = found and found.expires > 0 and found.expires or nil -- ms
local faults = {}

local function fault(text, ...)
  faults[#faults + 1] = text
  if repair == '1' then redis.call(...) end
end

local function compare(what, key, wanted, optional)
  local actual = tonumber(redis.call('ZSCORE', key, id) or nil)
  if actual == wanted or optional and not actual then return end
  if not wanted then return fault(what .. ': without a record', 'ZREM', key, id) end
  fault(what .. (actual and ': wrong' or ': missing'), 'ZADD', key, wanted, id)
end

local due = tonumber(redis.call('ZSCORE', expiry, id) or nil)
if found or not due or due >= math.floor(at / 1000) then
  for i, key in ipairs(indexes) do
    local kind = string.sub(kinds, i, i)
    compare('index ' .. kind, key, found and score(kind, found) or nil, kind == 'u' or kind == 'n')
  end
  compare('expiry', expiry, expires)
end

local left = redis.call('PTTL', record) -- -1: for ever, -2: no record
if not found and left == -1 then
  fault('native expiry: missing, the record has expired', 'UNLINK', record)
elseif expires and math.abs(left - (expires - at / 1000)) > 1000 then
  fault('native expiry: wrong', 'PEXPIREAT', record, expires)
elseif found and not expires and left ~= -1 then
  fault('native expiry: there should be none', 'PERSIST', record)
end
return faults
