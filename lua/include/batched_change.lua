--- One change of a batch, for enter_batch.lua. The weight of the batch's journal grows with it. That has the value '' if no
--- values are kept. Values that are too long for a single write's script (service/storage/scripts/bounds.py) are not
--- kept here either.
local function batched_change(journal, start, id, version, body)
  local LONGEST = 32000
  local value = journal.value ~= '' and #body <= LONGEST and body or ''
  local weight = 64 + #id + journal.author + #value
  journal.weight = journal.weight + weight
  return {start = start, version = version, weight = weight, value = value}
end
