--- The packed header of a record: one length byte, then msgpack. `pad` (bytes, or nil) makes it exactly that
--- long, so that it can be written in place before a large body. service/storage/records/record.py defines
--- the layout.
local function packed(header, pad)
  local field = {
    header.version, header.created, header.updated, header.expires, header.creator, header.updater, header.size,
  }
  local text = cmsgpack.pack(field)
  if pad then
    field[8] = string.rep(' ', pad - #text - 3) -- 3: the length byte, and msgpack's own two for a string of 32 to 255
    text = cmsgpack.pack(field)
  end
  return string.char(#text) .. text
end
