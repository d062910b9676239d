--- The text of `target` with the value of one member replaced, for the most common patch: `{"name":scalar}`, and an
--- object that has this name once, with a scalar as its value, and no object before it. Otherwise nil, and splice.lua
--- reads both texts member by member. The steps that splice.lua charges for the lengths of the texts include these
--- searches, so no pattern here may be tried from several places of the same white space or text.
---
--- The name that is found is the member's name. It begins with a character that cannot follow a string, and its quote
--- is not escaped, so it is a whole string. Before a colon a string is the name of a member. Only objects have names,
--- so after a single brace the name belongs to the outermost object. If a name has no slash, it can be written in
--- another way only with `\u`, which must not occur. So a second member with this name would be found.
local function splice_one(target, patch, flat)
  local find, match, byte = string.find, string.match, string.byte
  if #patch > 255 or byte(target) ~= 123 then return nil end -- 123: {
  local _, colon, name = find(patch, '^{("[^%s,:%]}"\\/][^"\\/]*"):%s*')
  if not name then return nil end
  local value = match(patch, '^("[^"\\]*")}$', colon + 1) or match(patch, '^([%w.+-]+)}$', colon + 1)
  if not value or value == 'null' and not flat then return nil end
  local place, last = find(target, name, 2, true)
  if not place or byte(target, place - 1) == 92 or find(target, name, last, true) then return nil end -- 92: backslash
  if (find(target, '{', 2, true) or place) < place or find(target, '\\u', 1, true) then return nil end
  local _, before, quote = find(target, '^%s*:%s*("?)', last + 1)
  if not before then return nil end
  if quote == '"' then
    last, before = find(target, quote, before + 1, true), before - 1
    if byte(target, last - 1) == 92 then return nil end
  else
    _, last = find(target, '^[%w.+-]+', before + 1)
    if not last then return nil end
  end
  return string.sub(target, 1, before) .. value .. string.sub(target, last + 1)
end
