--- The reply of a write: version, created (us), updated (us), expires (ms, 0 = never). If there is a quota, also the
--- documents and bytes by which the collection grew; otherwise they are left out, because a number in a reply takes
--- Redis time.
local function receipt(after, remaining_quota, documents, bytes)
  if remaining_quota == '' then return {after.version, after.created, after.updated, after.expires} end
  return {after.version, after.created, after.updated, after.expires, documents, bytes}
end
