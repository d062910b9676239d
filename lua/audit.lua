--- Compare what is said of one variable, or of one list with '' for an id, with what is to be said, if the variable still
--- is as it was seen; put it right if asked to.
--- Replies with: what was wrong, a text each.
--- Refuses: CHANGED (look at it again).
--- Flags: allow-oom

local variables = KEYS[1] -- hash: id -> packed variable
local names     = KEYS[2] -- hash: digest of user and key -> id
local newest    = KEYS[3] -- zset: id -> updated (us)
local lists     = KEYS[4] -- hash: list -> its members, or their number (include/move_between_lists.lua)
local listing   = KEYS[5] -- zset: list, moment, id, of long lists; all scores 0

local id     = ARGV[1] -- 6 bytes
local seen   = ARGV[2] -- the packed variable as it was seen, '' if there was none
local right  = ARGV[3] -- as it is to be, '' if there was none
local repair = ARGV[4] -- '1': put right what is wrong
local claims = {unpack(ARGV, 5)} -- a letter, then what it is about: n a name that is this id, N one that is not; m the
                                 -- moment in `newest`, M that there is none; l a list and a member that it has, L one
                                 -- that it has not, S one that is in `listing` for a long list only; t a list

--- @include listed
--- @include move_between_lists
--- @include recount

if (redis.call('HGET', variables, id) or '') ~= seen then
  return redis.error_reply('CHANGED the variable has changed')
end
local faults = {}
local function fault(text, mend, ...)
  faults[#faults + 1] = text
  if repair == '1' then mend(...) end
end

if right ~= seen then fault('variable: its lists are wrong', redis.call, 'HSET', variables, id, right) end
for _, claim in ipairs(claims) do
  local letter, about = string.sub(claim, 1, 1), string.sub(claim, 2)
  local list, member = string.sub(about, 1, 15), string.sub(about, 16)
  local moment = letter == 'm' and struct.unpack('>I7', about)
  local has, long = listed(lists, listing, list, member)
  if letter == 'n' and redis.call('HGET', names, about) ~= id then
    fault('name: missing', redis.call, 'HSET', names, about, id)
  elseif letter == 'N' and redis.call('HGET', names, about) == id then
    fault('name: of no variable', redis.call, 'HDEL', names, about)
  elseif moment and tonumber(redis.call('ZSCORE', newest, id) or -1) ~= moment then
    fault('newest: not at its moment', redis.call, 'ZADD', newest, moment, id)
  elseif letter == 'M' and redis.call('ZSCORE', newest, id) then
    fault('newest: of no variable', redis.call, 'ZREM', newest, id)
  elseif letter == 'l' and not has then
    fault('list: missing', move_between_lists, lists, listing, '', list, '', member)
  elseif letter == 'L' and has then
    fault('list: of no variable', move_between_lists, lists, listing, list, '', member)
  elseif letter == 'S' and not long and redis.call('ZSCORE', listing, about) then
    fault('listing: of no long list', redis.call, 'ZREM', listing, about)
  elseif letter == 't' then
    local found, counted = recount(lists, listing, list)
    local mend = counted == '' and {'HDEL', lists, list} or {'HSET', lists, list, counted}
    if found and (found == '' or found ~= counted) then fault('list: wrong number', redis.call, unpack(mend)) end
  end
end
return faults
