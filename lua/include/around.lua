--- The number of members of a sorted set before the score and the id, and the number of those up to them. They differ by
--- one if the id is there with this score. Otherwise the place among the members of this score is found by halves.
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
