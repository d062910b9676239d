--- Remove members from a set of links, except those that were linked again since.
--- Replies with: OK.
--- Flags: allow-oom

local links = KEYS[1] -- zset: member -> the revision at which it was last linked

local revision = ARGV[1] -- a number: links of a higher revision stay
local members  = {unpack(ARGV, 2)} -- at most 1,000 members that are no longer linked

for _, member in ipairs(members) do
  local linked = redis.call('ZSCORE', links, member)
  if linked and tonumber(linked) <= tonumber(revision) then redis.call('ZREM', links, member) end
end
return redis.status_reply('OK')
