--- Update the index entries of one record. `kinds` has a letter for each index (score.lua). `before` is the
--- stored header, nil for a new record: an entry whose score stays the same is not written.
--- @include score
local function index(indexes, kinds, id, before, after)
  for i, key in ipairs(indexes) do
    local kind = string.sub(kinds, i, i)
    local wanted = score(kind, after)
    if not before or score(kind, before) ~= wanted then redis.call('ZADD', key, wanted, id) end
  end
end
