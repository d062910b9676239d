--- Set a short string, also when memory is full: its size does not grow with use. Redis 6.2 has no
--- `allow-oom`, but lets a script continue whose first write frees memory. `ms` is the lifetime, nil for
--- ever.
local function renew(key, value, ms)
  local command = ms and {'SET', key, value, 'PX', ms} or {'SET', key, value}
  if redis.pcall(unpack(command)).err then
    redis.call('UNLINK', key)
    redis.call(unpack(command))
  end
end
