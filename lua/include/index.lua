--- Bring the indexes of one record up to date; `kinds` has a letter for each (see score.lua). `before` is the header
--- that was there, nil for a new record: an entry that stays what it is, is not written again.
--- @include score
local function index(indexes, kinds, id, before, after)
  for i, key in ipairs(indexes) do
    local kind = string.sub(kinds, i, i)
    local wanted = score(kind, after)
    if not before or score(kind, before) ~= wanted then redis.call('ZADD', key, wanted, id) end
  end
end
