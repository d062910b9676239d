--- Redis's clock, in microseconds since the epoch: one clock for all workers.
local function now()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end
