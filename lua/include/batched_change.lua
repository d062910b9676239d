--- One change of a batch, for enter_batch.lua. Adds the weight of the change to that of the batch's journal. The
--- value of the change is '' if the journal keeps no values, or if the value is too long for the script of a single
--- write (service/storage/scripts/bounds.py).
local function batched_change(journal, start, id, version, body)
  local LONGEST = 32000
  local value = journal.value ~= '' and #body <= LONGEST and body or ''
  local weight = 64 + #id + journal.author + #value
  journal.weight = journal.weight + weight
  return {start = start, version = version, weight = weight, value = value}
end
