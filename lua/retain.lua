--- Mark a library of functions as used, and name the libraries that have been unused for a while. This works also
--- when memory is full, because a mark is one short field.
--- Replies with: the names of the unused libraries.
--- Flags: allow-oom

local libraries = KEYS[1] -- hash: name of a library -> when a worker last used it (us)

local name  = ARGV[1] -- name of the library that the caller uses
local idle  = ARGV[2] -- us without use after which a library counts as unused
local found = {unpack(ARGV, 3)} -- names of the libraries that servers have: those without a mark get one

--- @include now

local at = now()
redis.call('HSET', libraries, name, at)
for _, library in ipairs(found) do redis.call('HSETNX', libraries, library, at) end
local marks = redis.call('HGETALL', libraries)
local unused = {}
for i = 1, #marks, 2 do
  if at - marks[i + 1] > tonumber(idle) then unused[#unused + 1] = marks[i] end
end
return unused
