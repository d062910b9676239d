--- The number of a user, allotted where it has none yet: the next one that nobody declared. Of racing callers all get the
--- same.
--- Replies with: the number; 0 where 100 declared ones in a row were passed over (ask again).

local users    = KEYS[1] -- hash: the user's name -> number
local declared = KEYS[2] -- hash: number that was declared -> display name
local last     = KEYS[3] -- string: the last number that was allotted

local user = ARGV[1] -- the user's name

local number = redis.call('HGET', users, user)
if number then return tonumber(number) end
for _ = 1, 100 do
  number = redis.call('INCR', last)
  if redis.call('HEXISTS', declared, number) == 0 then
    redis.call('HSET', users, user, number)
    return number
  end
end
return 0
