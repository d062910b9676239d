--- Why `subject` may not do this here, or nil where it may: the only permission decision that there is. `acl` is a
--- hash, subject -> verbs, a letter each: r to read, w to write, d to delete; `verb` is one of them. Its field '' says
--- that the resource is declared. '' as `subject` is what collections without scopes give: it may do everything.
local function allowed(acl, subject, verb)
  if subject == '' then return nil end
  local verbs = redis.call('HGET', acl, subject)
  if verbs and string.find(verbs, verb, 1, true) then return nil end
  if not verbs and redis.call('HEXISTS', acl, '') == 0 then return 'UNDECLARED there is no such resource' end
  return 'DENIED the caller may not do this here'
end
