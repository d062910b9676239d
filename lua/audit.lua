--- Compare what is said of one variable with what is to be said, if the variable still is as it was seen; put it right if
--- asked to.
--- Replies with: what was wrong, a text each.
--- Refuses: CHANGED (look at it again).
--- Flags: allow-oom

local variables = KEYS[1] -- hash: id -> packed variable
local names     = KEYS[2] -- hash: digest of user and key -> id
local listing   = KEYS[3] -- zset: list, moment, id; all scores 0

local id     = ARGV[1] -- 6 bytes
local seen   = ARGV[2] -- the packed variable as it was seen, '' if there was none
local right  = ARGV[3] -- as it is to be, '' if there was none
local repair = ARGV[4] -- '1': put right what is wrong
local claims = {unpack(ARGV, 5)} -- a letter, then what it is about: n a name that is this id, N one that is not,
                                 -- l a member that the listing has, L one that it has not

if (redis.call('HGET', variables, id) or '') ~= seen then
  return redis.error_reply('CHANGED the variable has changed')
end
local faults = {}

local function fault(text, ...)
  faults[#faults + 1] = text
  if repair == '1' then redis.call(...) end
end

if right ~= seen then fault('variable: its lists are wrong', 'HSET', variables, id, right) end
for _, claim in ipairs(claims) do
  local letter, about = string.sub(claim, 1, 1), string.sub(claim, 2)
  if letter == 'n' and redis.call('HGET', names, about) ~= id then
    fault('name: missing', 'HSET', names, about, id)
  elseif letter == 'N' and redis.call('HGET', names, about) == id then
    fault('name: of no variable', 'HDEL', names, about)
  elseif letter == 'l' and not redis.call('ZSCORE', listing, about) then
    fault('listing: missing', 'ZADD', listing, 0, about)
  elseif letter == 'L' and redis.call('ZSCORE', listing, about) then
    fault('listing: of no variable', 'ZREM', listing, about)
  end
end
return faults
