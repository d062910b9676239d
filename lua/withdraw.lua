--- Take members out of a set of links, but for those that were linked again later.
--- Replies with: OK.
--- Flags: allow-oom

local links = KEYS[1] -- zset: what is linked -> the revision at which it was last linked

local revision = ARGV[1] -- a number: links of a higher one stay
local members  = {unpack(ARGV, 2)} -- what is no longer linked: at most 1,000

for _, member in ipairs(members) do
  local linked = redis.call('ZSCORE', links, member)
  if linked and tonumber(linked) <= tonumber(revision) then redis.call('ZREM', links, member) end
end
return redis.status_reply('OK')
