-- Keys by Zipf's law: the key of rank k is asked for 1/k times as often as the first. The keys' number to the power of a
-- random number between 0 and 1 is so distributed.

require 'report'
local order = require 'order'

local random, floor = math.random, math.floor

function init(args)
  local given = order.read(args[1])
  local keys, texts = given.keys, {}
  math.randomseed(given.seed)
  for i = 1, keys do texts[i] = given.parts[1].text(given.first + i - 1) end
  request = function() return texts[floor(keys ^ random())] end
end
