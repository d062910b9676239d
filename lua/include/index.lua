--- Update the index entries of one record that was written at `moment` (us, a text). `kinds` has a letter for each
--- index (score.lua). `before` is the stored header, nil for a new record: then it is entered in all indexes that are
--- kept. Of a record that was there, only the time of its update has changed, and perhaps its size; it is not added
--- to an index of updates that does not have it (fill_index.lua).
--- @include is_kept
local function index(indexes, kinds, id, before, size, moment)
  if before then
    local updated = string.find(kinds, 'u', 1, true)
    if updated then redis.call('ZADD', indexes[updated], 'XX', moment, id) end
    if before.size ~= size then
      local sizes = string.find(kinds, 's', 1, true)
      if sizes then redis.call('ZADD', indexes[sizes], size, id) end
    end
    return
  end
  for i = 1, #indexes do
    local kind = string.byte(kinds, i) -- 99: c, 117: u, 115: s
    if is_kept(indexes[i], kind) then
      redis.call('ZADD', indexes[i], (kind == 99 or kind == 117) and moment or kind == 115 and size or '0', id)
    end
  end
end
