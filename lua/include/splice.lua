--- Apply a JSON merge patch (RFC 7386) to the text of a document: what the patch does not name keeps its bytes.
--- Replies the new text, or nil where that may take more than `budget` steps of about 0.2 us.
--- Both texts are UTF-8 JSON, validated. service/storage/splice.py says which white space goes with a removed member,
--- and does the same to the byte.
--- @include splice_read
--- @include splice_text
--- @include splice_merge
local function splice(target, patch, budget)
  local left = budget - (#target + #patch) / 32
  if left < 0 then return nil end
  local from, at = string.find(patch, '%S'), string.find(target, '%S')
  if string.byte(patch, from) ~= 123 then return patch end -- 123: {
  local whole, out, rest, run = {from = from, to = 0, members = false}, {}, target
  left = splice_read(patch, whole, left)
  if left < 0 then return nil end
  if string.byte(target, at) == 123 then
    local marks = {['{'] = 0, ['}'] = 0, ['['] = 0, ['\\'] = 0}
    run, left = splice_merge(target, at, patch, whole, marks, 1, out, left)
  else
    rest = patch
    run, left = splice_text(patch, whole, 1, out, left)
  end
  if left < 0 then return nil end
  if run == 1 then return rest end
  out[#out + 1] = string.sub(rest, run)
  return table.concat(out)
end
