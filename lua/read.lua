--- Read records of one collection, if the caller may.
--- Replies with: for each id the packed record, nil if there is none, or its size (bytes) if it did not fit.
--- Refuses: DENIED, NOTFOUND (the resource is not declared).
--- Flags: no-writes

local acl     = KEYS[1] -- hash: subject -> verbs
local records = {unpack(KEYS, 2)} -- strings: packed header, then the body

local subject = ARGV[1] -- see include/denied.lua
local most    = ARGV[2] -- most bytes in the reply

--- @include denied

local refusal = denied(acl, subject, 'r')
if refusal then return redis.error_reply((string.gsub(refusal, '^UNDECLARED (.*)', 'NOTFOUND %1'))) end
local found, left = {}, tonumber(most)
for i, record in ipairs(records) do
  local size = redis.call('STRLEN', record)
  if size == 0 then
    found[i] = false
  elseif size <= left then
    found[i], left = redis.call('GET', record), left - size
  else
    found[i] = size
  end
end
return found
