--- Redis's clock, in microseconds since the epoch: one clock for all workers. Replies it as a number and as a
--- text: to give Redis a text of 16 digits costs half of what a number costs, which it formats first.
local function now()
  local time = redis.call('TIME')
  local seconds, micros = time[1], time[2]
  if #micros < 6 then micros = string.rep('0', 6 - #micros) .. micros end
  return seconds * 1000000 + micros, seconds .. micros
end
