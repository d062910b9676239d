--- The header of a record as it was in an export. `deadline` is its expiry as a text (ms since the epoch), '' for
--- never; `size` is in bytes.
local function former(version, created, updated, deadline, creator, updater, size)
  return {
    version = tonumber(version), created = tonumber(created), updated = tonumber(updated),
    expires = tonumber(deadline) or 0, deadline = deadline ~= '' and deadline or nil,
    creator = creator, updater = updater, size = size,
  }
end
