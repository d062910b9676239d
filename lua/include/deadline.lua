--- When a record with this `lifetime` expires: ms since the epoch, 0 = never, nil = that is not in the future.
--- '' is for ever, '+N' is N ms after `at` (microseconds), 'N' is the time itself in ms.
local function deadline(lifetime, at)
  if lifetime == '' then return 0 end
  local ms = tonumber(lifetime)
  if string.byte(lifetime) == 43 then ms = math.floor(at / 1000) + ms end -- 43: '+'
  if ms * 1000 <= at then return nil end
  return ms
end
