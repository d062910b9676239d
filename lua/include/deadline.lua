--- The time at which a record with this `lifetime` expires: ms since the epoch, 0 = never, nil = not in the
--- future.
--- '' is for ever; '=' keeps the expiry of `before` (the stored header, or nil); '+N' is N ms after `at`
--- (us); 'N' is a time in ms since the epoch.
local function deadline(lifetime, at, before)
  if lifetime == '' then return 0 end
  if lifetime == '=' then return before and before.expires or 0 end
  local ms = tonumber(lifetime)
  if string.byte(lifetime) == 43 then ms = math.floor(at / 1000) + ms end -- 43: '+'
  if ms * 1000 <= at then return nil end
  return ms
end
