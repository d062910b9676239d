--- Read a record, and the time at which it was read: parts of a record with files may expire before it does.
--- Replies with: the time (us), the record's string (nil if there is none).
--- Flags: no-writes

local record = KEYS[1] -- string: packed header, then the manifest

--- @include now

return {now(), redis.call('GET', record)}
