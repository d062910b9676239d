--- The position of a member in a short list's text, or nil. Only positions at which a member starts count, because the
--- end of one member and the start of the next may look like the member.
local function position(text, member)
  local MEMBER = 13 -- bytes
  local at = 0
  repeat at = string.find(text, member, at + 1, true) until not at or at % MEMBER == 1
  return at
end
