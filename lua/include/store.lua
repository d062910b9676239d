--- Write a record, whole, once its condition and its collection allow it. `place` names the keys: record, expiry,
--- indexes, kinds. `change` holds what the caller wants: id, by, lifetime, condition, registered, room and size, and
--- `write(after)`, which puts the string there. Replies as create, put and publish reply, or with a refusal.
--- @include now
--- @include header
--- @include unmet
--- @include deadline
--- @include barred
--- @include keep
local function store(place, change)
  local at = now()
  local before = header(place.record, at)
  local expires = deadline(change.lifetime, at)
  local refusal = unmet(change.condition, before)
    or not expires and 'INVALID the expiry is not in the future'
    or barred(before, change.size, place.indexes, change.registered, change.room, at)
  if refusal then return redis.error_reply(refusal) end
  local after = {
    version = before and before.version + 1 or 1, created = before and before.created or at, updated = at,
    expires = expires, creator = before and before.creator or change.by, updater = change.by, size = change.size,
  }
  change.write(after)
  local documents, bytes = keep(change.id, before, after, place.expiry, place.indexes, place.kinds, at)
  return {after.version, after.created, after.updated, after.expires, documents, bytes}
end
