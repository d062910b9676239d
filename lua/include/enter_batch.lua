--- Enter the changes of a batch at the time `at` (us) into its journal, in order. `changes` has the start, version,
--- weight and value of each change (batched_change.lua). `ids`, `was` and `is` have the id of each record and its
--- headers before and after the batch, by its key; `starts` has the start of its last change. Replies the bytes by
--- which the journal grew.
--- @include enter_change
--- @include expiry_state
--- @include trim_now_and_then
local function enter_batch(journal, changes, ids, was, is, starts, at)
  local expiring, others = {}, {}
  for record, id in pairs(ids) do
    local before, after = was[record], is[record]
    if after and after.expires > 0 then
      expiring[#expiring + 1], expiring[#expiring + 2] = ':' .. id, expiry_state(after, starts[record])
    elseif before and before.expires > 0 then
      others[#others + 1] = ':' .. id
    end
  end
  if expiring[1] then redis.call('HSET', journal.state, unpack(expiring)) end
  if others[1] then redis.call('HDEL', journal.state, unpack(others)) end
  local weight = journal.weight
  local total = redis.call('HINCRBY', journal.state, 'bytes', weight) - weight
  for _, change in ipairs(changes) do
    total = total + change.weight
    enter_change(journal, change.start, change.version, at, total, change.value)
  end
  return weight - trim_now_and_then(journal, total, weight)
end
