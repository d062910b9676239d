--- Let the chunks from number `first` on expire `grace` ms from now, so that readers at work can finish.
local function release(chunks, first, grace)
  for i = first, #chunks do redis.call('PEXPIRE', chunks[i], grace) end
end
