--- Where a short list's text has a member (13 bytes), or nil: only where members start, for bytes of two may look like one.
local function position(text, member)
  local at = 0
  repeat at = string.find(text, member, at + 1, true) until not at or at % 13 == 1
  return at
end
