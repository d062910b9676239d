--- Raise a counter of ids, so that ids that are given from now on are higher than a number.
--- Replies with: OK.
--- Flags: allow-oom

local last = KEYS[1] -- string: the last number that was allotted or reserved

local number = ARGV[1] -- the counter must be at least this number

if tonumber(redis.call('GET', last) or 0) < tonumber(number) then redis.call('SET', last, number) end
return redis.status_reply('OK')
