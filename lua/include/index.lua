--- Update the index entries of one record that was written at `moment` (us, a text). `kinds` has a letter for each
--- index (score.lua). `before` is the stored header, nil for a new record: an entry whose score stays the same
--- is not written. 99: c, 117: u, 115: s.
local function index(indexes, kinds, id, before, size, moment)
  for i = 1, #indexes do
    local kind = string.byte(kinds, i)
    if kind == 117 then
      redis.call('ZADD', indexes[i], moment, id)
    elseif kind == 115 then
      if not before or before.size ~= size then redis.call('ZADD', indexes[i], size, id) end
    elseif not before then
      redis.call('ZADD', indexes[i], kind == 99 and moment or '0', id)
    end
  end
end
