--- The journal into which a write enters its change. `text` (`Retention.entry` in service/storage/journal) has '1' if
--- values are kept, the length of the author's id as a byte, 21 characters of limits, and the start of the entry's
--- header. The two keys of the journal are the last of `keys`, and are removed from there. `value` is the body, nil
--- if it is not kept. In the result, `weight` is the number of bytes that the entry counts, `entered` the number that
--- this script has entered before: expiries.
local function open_journal(text, keys, id, value)
  local values, author = string.byte(text, 1, 2)
  if values == 48 or not value then value = '' end -- 48: '0'
  local state = table.remove(keys)
  return {
    stream = table.remove(keys), state = state, text = text, start = string.sub(text, 24), author = author,
    value = value, weight = 64 + #id + author + #value, entered = 0,
  }
end
