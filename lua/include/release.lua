--- Let go of the chunks from `first` on: who is reading them has `grace` ms left, then they are gone.
local function release(chunks, first, grace)
  for i = first, #chunks do redis.call('PEXPIRE', chunks[i], grace) end
end
