--- The header of a record that `caller` writes at the time `at` (us). `before` is the stored header, or nil.
local function renewed(before, at, caller, expires, size)
  if not before then
    return {
      version = 1, created = at, updated = at, expires = expires, creator = caller, updater = caller, size = size,
    }
  end
  return {
    version = before.version + 1, created = before.created, updated = at, expires = expires,
    creator = before.creator, updater = caller, size = size,
  }
end
