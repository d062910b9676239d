--- Run `write` unless it was run before. `answer` is a key in the write's own slot, which holds the
--- remembered reply, if any. `fingerprint` (16 bytes) identifies the request; `remark` is stored with the
--- reply, for the worker.
--- ANSWERED: the same request was carried out before; the worker reads its reply. REUSED: another request
--- used the key. A reply is remembered for a day. A refusal is not remembered, because nothing was done. SET
--- comes last, when it is known that the write was carried out.
local function once(answer, fingerprint, remark, write)
  local before = redis.call('GETRANGE', answer, 0, 15)
  if before == fingerprint then return redis.error_reply('ANSWERED it was done before') end
  if before ~= '' then return redis.error_reply('REUSED the idempotency key was used for another request') end
  local reply = write()
  if type(reply) == 'table' and reply.err then return reply end
  redis.call('SET', answer, fingerprint .. cmsgpack.pack({remark, reply}), 'PX', 86400000)
  return reply
end
