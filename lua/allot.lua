--- Allot a number to a user, or return the number that it has: the next number that was not declared. Racing
--- callers get the same number.
--- Replies with: the number; 0 if 100 declared numbers in a row were skipped (ask again).

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
