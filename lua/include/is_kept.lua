--- True if new records are entered in an index. `kind` is the byte of its letter (score.lua). The indexes u and n (117
--- and 110) are kept only after a list was sorted by them (fill_index.lua): from then on they exist.
local function is_kept(index, kind)
  return kind ~= 117 and kind ~= 110 or redis.call('EXISTS', index) == 1
end
