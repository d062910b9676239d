--- Unpack a variable: the times of its update and creation (7 bytes each, us), and the names of the lists
--- that it is in for its value (15 bytes each, in one text). service/storage/variables/variables.py defines
--- the layout.
local function variable(packed)
  return {
    updated = string.sub(packed, 1, 7), created = string.sub(packed, 8, 14),
    valued = string.sub(packed, 22, 21 + string.byte(packed, 21)),
  }
end
