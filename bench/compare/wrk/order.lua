-- Reads the order that bench/compare/wrk.py wrote for this run. A request whose KEY stands in its path is cut there, so
-- that a request for another key costs one concatenation. KEY stands in the path before anything else that could be
-- called so; where there is none, the request is the same for every key. A request with KEY in its body is formatted
-- for each key, because its length depends on it.

local order = {}

-- The request, with its headers in the order of their names. wrk.format has them in another order in each run, so a cache
-- of whole requests takes those of a run for new ones; no client does that.
local function format(part, path, body)
  local names, lines = {'Host'}, {}
  for name in pairs(part.headers) do names[#names + 1] = name end
  if body ~= '' then names[#names + 1] = 'Content-Length' end
  table.sort(names)
  for i, name in ipairs(names) do
    local value = part.headers[name] or name == 'Host' and wrk.headers.Host or #body
    lines[i] = name .. ': ' .. value .. '\r\n'
  end
  return part.method .. ' ' .. path .. ' HTTP/1.1\r\n' .. table.concat(lines) .. '\r\n' .. body
end

-- Give `part` the function `text`, which replies the request for a key, and `head` and `tail` or `whole`.
local function prepare(part)
  if part.body:find('KEY', 1, true) then
    part.text = function(key)
      local path, body = part.path:gsub('KEY', key), part.body:gsub('KEY', key)
      return format(part, path, body)
    end
    return
  end
  local text = format(part, part.path, part.body)
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
