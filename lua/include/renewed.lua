--- The header of a record that `caller` writes at the time `at` (us). `before` is the stored header, or nil.
--- `deadline` is the expiry as a text, which Redis is given twice.
local function renewed(before, at, caller, expires, size)
  local deadline = expires > 0 and string.format('%.0f', expires) or nil
  if not before then
    return {
      version = 1, created = at, updated = at, expires = expires, deadline = deadline,
      creator = caller, updater = caller, size = size,
    }
  end
  return {
    version = before.version + 1, created = before.created, updated = at, expires = expires, deadline = deadline,
    creator = before.creator, updater = caller, size = size,
  }
end
