--- Check the index entries of one variable, or of one list if the id is ''; repair them if asked.
--- Replies with: the faults, one text for each.
--- Refuses: CHANGED (the variable has changed since it was read: read it again).
--- Flags: allow-oom

local variables = KEYS[1] -- hash: id -> packed variable
local names     = KEYS[2] -- hash: digest of user and key -> id
local newest    = KEYS[3] -- zset: id -> updated (us)
local lists     = KEYS[4] -- hash: list -> its members, or its length (include/move_between_lists.lua)
local listing   = KEYS[5] -- zset: list, moment, id, of long lists; all scores 0

local id     = ARGV[1] -- 6 bytes
local seen   = ARGV[2] -- the packed variable as it was seen, '' if there was none
local right  = ARGV[3] -- the packed variable as it should be, '' if there should be none
local repair = ARGV[4] -- '1': repair the faults
local claims = {unpack(ARGV, 5)} -- pairs of a claim and its object: 'named' and 'not named' with a name; 'updated' with
                                 -- a moment (7 bytes, us); 'not in newest' with ''; 'in list', 'not in list' and
                                 -- 'of a long list' with list and member; 'list' (its text is right) with a list

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
for i = 1, #claims, 2 do
  local claim, about = claims[i], claims[i + 1]
  local list, member = string.sub(about, 1, 15), string.sub(about, 16)
  local has, long = listed(lists, listing, list, member)
  local moment = claim == 'updated' and struct.unpack('>I7', about)
  if claim == 'named' and redis.call('HGET', names, about) ~= id then
    fault('name: missing', redis.call, 'HSET', names, about, id)
  elseif claim == 'not named' and redis.call('HGET', names, about) == id then
    fault('name: of no variable', redis.call, 'HDEL', names, about)
  elseif moment and tonumber(redis.call('ZSCORE', newest, id) or -1) ~= moment then
    fault('newest: not at its moment', redis.call, 'ZADD', newest, moment, id)
  elseif claim == 'not in newest' and redis.call('ZSCORE', newest, id) then
    fault('newest: of no variable', redis.call, 'ZREM', newest, id)
  elseif claim == 'in list' and not has then
    fault('list: missing', move_between_lists, lists, listing, '', list, '', member)
  elseif claim == 'not in list' and has then
    fault('list: of no variable', move_between_lists, lists, listing, list, '', member)
  elseif claim == 'of a long list' and not long and redis.call('ZSCORE', listing, about) then
    fault('listing: of no long list', redis.call, 'ZREM', listing, about)
  elseif claim == 'list' then
    local found, counted = recount(lists, listing, list)
    local mend = counted == '' and {'HDEL', lists, list} or {'HSET', lists, list, counted}
    if found and (found == '' or found ~= counted) then fault('list: wrong number', redis.call, unpack(mend)) end
  end
end
return faults
