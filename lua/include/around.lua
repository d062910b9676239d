--- The number of members of a sorted set before a score and an id, and the number of members up to and including
--- them. The two differ by one if the id is a member with this score. If it is not, its place among the members with
--- this score is found by a binary search.
--- @include precedes
local function around(index, score, id)
  local present = redis.call('ZSCORE', index, id)
  if present and tonumber(present) == tonumber(score) then
    local rank = redis.call('ZRANK', index, id)
    return rank, rank + 1
  end
  local low, high = redis.call('ZCOUNT', index, '-inf', '(' .. score), redis.call('ZCOUNT', index, '-inf', score)
  while low < high do
    local middle = math.floor((low + high) / 2)
    if precedes(redis.call('ZRANGE', index, middle, middle)[1], id) then low = middle + 1 else high = middle end
  end
  return low, low
end
