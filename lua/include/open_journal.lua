--- The journal that a write enters its change into. `text` (`Retention.entry` in service/storage/journal) has '1' if values
--- are kept, the length of the author's id as a byte, 21 characters of limits, and the start of the entry's header. Its two
--- keys are the last of `keys`, and are taken away from there. `value` is the body, nil where none is kept.
--- `weight` are the bytes that the entry will count, `entered` those that this script entered before: expiries.
local function open_journal(text, keys, id, value)
  local values, author = string.byte(text, 1, 2)
  if values == 48 or not value then value = '' end -- 48: '0'
  local state = table.remove(keys)
  return {
    stream = table.remove(keys), state = state, text = text, start = string.sub(text, 24), author = author,
    value = value, weight = 64 + #id + author + #value, entered = 0,
  }
end
