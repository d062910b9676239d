--- Declare a user with a number and a display name. A number stays declared for ever, so no other user gets
--- it. A user that is removed loses its number, and is allotted another one if it comes back.
--- Replies with: OK.
--- Refuses: EXISTS (the number was allotted to another user).
--- Flags: allow-oom

local users    = KEYS[1] -- hash: the user's name -> number
local declared = KEYS[2] -- hash: number that was declared -> display name
local last     = KEYS[3] -- string: the last number that was allotted

local user    = ARGV[1] -- the user's name
local number  = ARGV[2] -- its number, '' to remove the user
local display = ARGV[3] -- display name, '' for the usual one

local had = redis.call('HGET', users, user)
if number == '' then
  if had and redis.call('HEXISTS', declared, had) == 1 then
    redis.call('HDEL', users, user)
    redis.call('HSET', declared, had, '')
  end
  return redis.status_reply('OK')
end
local passed = tonumber(number) <= tonumber(redis.call('GET', last) or 0)
if had ~= number and passed and redis.call('HEXISTS', declared, number) == 0 then
  return redis.error_reply('EXISTS the number ' .. number .. ' is another user\'s')
end
redis.call('HSET', declared, number, display)
redis.call('HSET', users, user, number)
return redis.status_reply('OK')
