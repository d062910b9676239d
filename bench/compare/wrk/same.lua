-- One request over and over: a hot key, and a client that does no work at all between two requests.

require 'report'
local order = require 'order'

function init(args)
  local given = order.read(args[1])
  local text = given.parts[1].text(given.first)
  request = function() return text end
end
