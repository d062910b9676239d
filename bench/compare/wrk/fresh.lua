-- A key that was never used before, each time: what a write costs that creates.

require 'report'
local order = require 'order'

function init(args)
  local given = order.read(args[1])
  local head, tail, key = given.parts[1].head, given.parts[1].tail, given.first
  request = function()
    key = key + 1
    return head .. key .. tail
  end
end
