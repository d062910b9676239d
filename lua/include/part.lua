--- The journal for one operation of a batch (see open_journal.lua), made from that of the batch, whose weight grows with
--- it. That has the value '' if no values are kept. Values that are too long for a single write's script
--- (service/storage/scripts/bounds.py) are not kept here either.
local function part(journal, op, etag, id, body)
  local LONGEST = 32000
  local value = journal.value ~= '' and #body <= LONGEST and body or ''
  local weight = 64 + #id + #journal.author + #value
  journal.weight = journal.weight + weight
  return {
    stream = journal.stream, state = journal.state, limits = journal.limits, most = journal.most,
    op = op, etag = etag, author = journal.author, value = value, weight = weight,
  }
end
