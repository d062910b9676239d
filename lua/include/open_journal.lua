--- The journal that a write enters its change into. `text` has its limits, '1' if it keeps values, and of the change the
--- operation, the etag and the author (`Retention.entry` in service/storage/journal). Its two keys are the last of
--- `keys`, and are taken away from there. `value` is the body, nil where none is kept. `weight` are the bytes
--- that the entry of the change will count.
local function open_journal(text, keys, id, value)
  local limits, entries, values, op, etag, author = string.match(text, '^((%d+) %d+) ([01]) (%l+) (%x*) (.*)$')
  local state = table.remove(keys)
  if values == '0' or not value then value = '' end
  return {
    stream = table.remove(keys), state = state, limits = limits, most = entries + 100, op = op, etag = etag,
    author = author, value = value, weight = 64 + #id + #author + #value,
  }
end
