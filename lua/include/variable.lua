--- A packed variable read: when it was updated and created (7 bytes each, us), and the names of the lists that it is in
--- for its value (15 bytes each, in one text). The layout is that of service/storage/variables/variables.py.
local function variable(packed)
  return {
    updated = string.sub(packed, 1, 7), created = string.sub(packed, 8, 14),
    valued = string.sub(packed, 22, 21 + string.byte(packed, 21)),
  }
end
