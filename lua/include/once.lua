--- Run `write` unless it was run before. `answer` is a key of the write's own slot: what is remembered of it, or nothing.
--- `fingerprint` (16 bytes) stands for the request that asks; `remark` is kept with the reply, for the worker.
--- ANSWERED: the same request did it, and the worker reads what it was told. REUSED: another one did.
--- Only what was done is remembered, for a day; a refusal did nothing, so it leaves nothing behind. The SET comes last:
--- when memory is full it is the write's own first command that Redis refuses, and no free one lets another through.
local function once(answer, fingerprint, remark, write)
  local before = redis.call('GETRANGE', answer, 0, 15)
  if before == fingerprint then return redis.error_reply('ANSWERED it was done before') end
  if before ~= '' then return redis.error_reply('REUSED the idempotency key was used for another request') end
  local reply = write()
  if type(reply) == 'table' and reply.err then return reply end
  redis.call('SET', answer, fingerprint .. cmsgpack.pack({remark, reply}), 'PX', 86400000)
  return reply
end
