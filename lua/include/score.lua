--- The score of a record with this header in an index of that kind: c created (us), u updated (us), s size
--- (bytes), n name (all scores 0, so the order is that of the ids' bytes).
local function score(kind, header)
  if kind == 'c' then return header.created end
  if kind == 'u' then return header.updated end
  if kind == 's' then return header.size end
  return 0
end
