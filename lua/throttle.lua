--- Count a request against its caller's rate, with the generic cell rate algorithm (ITU-T I.371). It stores
--- one number, the time at which the next request would be due if requests came evenly.
--- Replies with: OK.
--- Refuses: THROTTLED, with the microseconds after which a request would be let through.
--- Flags: allow-oom

local bucket = KEYS[1] -- string: theoretical arrival time (us); expires when it no longer matters

local interval = ARGV[1] -- us between two requests at the full rate, at least 1
local burst    = ARGV[2] -- requests that may arrive at the same time

--- @include now

local at = now()
local due = math.max(tonumber(redis.call('GET', bucket)) or 0, at) + interval
local early = due - at - interval * burst
if early > 0 then return redis.error_reply(string.format('THROTTLED %.0f', early)) end
redis.call('SET', bucket, due, 'PX', math.ceil((due - at) / 1000))
return redis.status_reply('OK')
