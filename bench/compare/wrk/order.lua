-- Reads the order that bench/compare/wrk.py wrote for this run, and cuts each request at its KEY, so that a request
-- for another key costs one concatenation. KEY stands in the path, before anything else that could be called so; where
-- there is none, the request is the same for every key.

local order = {}

function order.read(file)
  local given = dofile(file)
  for _, part in ipairs(given.parts) do
    local text = wrk.format(part.method, part.path, part.headers, part.body)
    local at = part.path:find('KEY', 1, true) and text:find('KEY', 1, true)
    part.whole = not at and text
    part.head, part.tail = text:sub(1, (at or 0) - 1), text:sub((at or 0) + 3)
  end
  return given
end

return order
