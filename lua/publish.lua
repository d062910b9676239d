--- Make a large record, sent ahead to a staging key behind room for a header, the record; nothing of it is copied.
--- Replies with: version, created (us), updated (us), expires (ms, 0 = never), documents and bytes that the
--- collection grew by.
--- Refuses: EXISTS, CHANGED, INVALID, UNREGISTERED, QUOTA, GONE (the staging key has expired).

local record  = KEYS[1] -- string: packed header, then the body
local staged  = KEYS[2] -- string: `room_for_header` bytes, then the body; lives for a minute
local expiry  = KEYS[3] -- zset: id -> expiry (ms)
local indexes = {unpack(KEYS, 4)} -- zsets: id -> what `kinds` says

local id         = ARGV[1] -- the id of the record, as the indexes hold it
local by         = ARGV[2] -- id of the caller
local lifetime   = ARGV[3] -- see include/deadline.lua
local condition  = ARGV[4] -- see include/unmet.lua
local kinds      = ARGV[5] -- see include/score.lua
local registered = ARGV[6] -- see include/barred.lua
local room       = ARGV[7] -- see include/barred.lua
local room_for_header = ARGV[8] -- bytes before the body in `staged`

--- @include packed
--- @include store

local size = redis.call('STRLEN', staged) - room_for_header
if size < 0 then return redis.error_reply('GONE the staged body has expired') end
local reply = store({record = record, expiry = expiry, indexes = indexes, kinds = kinds}, {
  id = id, by = by, lifetime = lifetime, condition = condition, registered = registered, room = room, size = size,
  write = function(header)
    redis.call('SETRANGE', staged, 0, packed(header, tonumber(room_for_header)))
    if header.expires > 0 then
      redis.call('PEXPIREAT', staged, string.format('%.0f', header.expires))
    else
      redis.call('PERSIST', staged)
    end
    redis.call('RENAME', staged, record)
  end,
})
if reply.err then redis.call('UNLINK', staged) end
return reply
