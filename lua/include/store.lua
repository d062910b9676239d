--- Write a whole record, if its grants, condition and collection allow it. `at` is the time (us), `before`
--- the stored header or nil. `change` has the keys (acl, expiry, indexes, kinds) and the request: subject,
--- id, by, lifetime, condition, registered, remaining_quota, size. `write(after)` stores the string. Replies
--- as put.lua does, or refuses.
--- @include denied
--- @include precondition_error
--- @include deadline
--- @include admission_error
--- @include keep
local function store(at, before, change, write)
  local expires = deadline(change.lifetime, at, before)
  local refusal = denied(change.acl, change.subject, 'w')
    or precondition_error(change.condition, before)
    or not expires and 'INVALID the expiry is not in the future'
    or admission_error(change, before, at)
  if refusal then return redis.error_reply(refusal) end
  local after = {
    version = before and before.version + 1 or 1, created = before and before.created or at, updated = at,
    expires = expires, size = change.size,
    creator = before and before.creator or change.caller, updater = change.caller,
  }
  write(after)
  local documents, bytes = keep(change, before, after, at)
  return {after.version, after.created, after.updated, after.expires, documents, bytes}
end
