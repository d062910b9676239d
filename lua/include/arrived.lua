--- True if the first `count` of these chunks all exist. It asks for 1,000 at a time, because unpack puts them on
--- Lua's stack.
local function arrived(chunks, count)
  for first = 1, count, 1000 do
    local last = math.min(first + 999, count)
    if redis.call('EXISTS', unpack(chunks, first, last)) < last - first + 1 then return false end
  end
  return true
end
