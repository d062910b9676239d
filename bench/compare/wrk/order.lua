-- Reads the order that bench/compare/wrk.py wrote for this run. A request whose KEY stands in its path is cut there, so
-- that a request for another key costs one concatenation. KEY stands in the path before anything else that could be
-- called so; where there is none, the request is the same for every key. A request with KEY in its body is formatted
-- for each key, because its length depends on it.

local order = {}

-- Give `part` the function `text`, which replies the request for a key, and `head` and `tail` or `whole`.
local function prepare(part)
  if part.body:find('KEY', 1, true) then
    part.text = function(key)
      local path, body = part.path:gsub('KEY', key), part.body:gsub('KEY', key)
      return wrk.format(part.method, path, part.headers, body)
    end
    return
  end
  local text = wrk.format(part.method, part.path, part.headers, part.body)
  local at = part.path:find('KEY', 1, true) and text:find('KEY', 1, true)
  part.whole = not at and text
  part.head, part.tail = text:sub(1, (at or 0) - 1), text:sub((at or 0) + 3)
  part.text = function(key) return part.whole or part.head .. key .. part.tail end
end

function order.read(file)
  local given = dofile(file)
  for _, part in ipairs(given.parts) do prepare(part) end
  return given
end

return order
