--- Compare one record with what its collection's indexes and expiry set say of it, and put them right if asked to.
--- Replies with: what was wrong, a text each; nothing where all agree. An expired record that waits to be swept is
--- no fault.

local record  = KEYS[1] -- string: packed header, then the body
local expiry  = KEYS[2] -- zset: id -> expiry (ms)
local indexes = {unpack(KEYS, 3)} -- zsets: id -> what `kinds` says

local id     = ARGV[1] -- the id of the record, as the indexes hold it
local kinds  = ARGV[2] -- see include/score.lua
local repair = ARGV[3] -- '1': put right what is wrong

--- @include now
--- @include header
--- @include score

local at = now()
local found = header(record, at)
local faults = {}

local function compare(what, key, wanted)
  local actual = tonumber(redis.call('ZSCORE', key, id) or nil)
  if actual == wanted then return end
  faults[#faults + 1] = what .. (wanted and (actual and ': wrong' or ': missing') or ': without a record')
  if repair ~= '1' then return end
  if wanted then redis.call('ZADD', key, wanted, id) else redis.call('ZREM', key, id) end
end

if not found then
  local due = tonumber(redis.call('ZSCORE', expiry, id) or nil)
  if due and due * 1000 < at then return faults end
end
for i, key in ipairs(indexes) do
  local kind = string.sub(kinds, i, i)
  compare('index ' .. kind, key, found and score(kind, found) or nil)
end
compare('expiry', expiry, found and found.expires > 0 and found.expires or nil)
if found then
  local left = redis.call('PTTL', record)
  local wanted = found.expires > 0 and found.expires - at / 1000 or -1
  if math.abs(left - wanted) > 1000 then
    faults[#faults + 1] = 'native expiry: wrong'
    if repair == '1' and found.expires > 0 then
      redis.call('PEXPIREAT', record, string.format('%.0f', found.expires))
    elseif repair == '1' then
      redis.call('PERSIST', record)
    end
  end
end
return faults
