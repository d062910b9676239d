-- Any key as likely as any other, and of several kinds of request each as often as its weight (of 100) says.

require 'report'
local order = require 'order'

local random = math.random
local KEPT = 100000 -- requests that are made ahead; over more keys (of one kind), each is made when it is sent

function init(args)
  local given = order.read(args[1])
  local deck, keys, first = {}, given.keys, given.first
  math.randomseed(given.seed)
  if keys > KEPT then
    local part = given.parts[1]
    request = function() return part.head .. (first + random(keys) - 1) .. part.tail end
    return
  end
  for _, part in ipairs(given.parts) do
    local texts = {}
    for i = 1, keys do texts[i] = part.text(given.names[i] or first + i - 1) end
    for _ = 1, part.weight do deck[#deck + 1] = texts end
  end
  local cards = #deck
  request = function() return deck[random(cards)][random(keys)] end
end
