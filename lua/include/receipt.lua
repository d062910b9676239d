--- What a write replies: version, created (us), updated (us), expires (ms, 0 = never); and, only where there is a
--- quota, by how many documents and bytes the collection grew. Each number costs Redis as much as a word of a command.
local function receipt(after, remaining_quota, documents, bytes)
  if remaining_quota == '' then return {after.version, after.created, after.updated, after.expires} end
  return {after.version, after.created, after.updated, after.expires, documents, bytes}
end
