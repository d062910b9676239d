--- What the index of that kind sorts a record with this header by. The kinds, a letter each: c created (us),
--- u updated (us), s size (bytes), n name (all scores 0, so by the bytes of the id).
local function score(kind, header)
  if kind == 'c' then return header.created end
  if kind == 'u' then return header.updated end
  if kind == 's' then return header.size end
  return 0
end
