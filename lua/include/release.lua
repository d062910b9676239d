--- Let the chunks from number `first` on expire in `grace` ms, so that readers can finish.
local function release(chunks, first, grace)
  for i = first, #chunks do redis.call('PEXPIRE', chunks[i], grace) end
end
