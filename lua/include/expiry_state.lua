--- The state of a record that will expire, as its journal keeps it: version and etag. `start` is the start of the
--- entry of its last change (enter_change.lua), which ends with the etag.
local function expiry_state(after, start)
  return after.version .. ' ' .. string.sub(start, -32)
end
