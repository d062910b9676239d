--- The reason why `subject` may not do this here; nil if it may. This is the only permission check. `acl` is a hash
--- from subjects to verbs, one letter each: r to read, w to write, d to delete; `verb` is one of them. The field ''
--- has the revision of these grants, below 0 if the resource is not declared. In collections without scopes `subject`
--- is '', and everything is permitted.
local function denied(acl, subject, verb)
  if subject == '' then return nil end
  local verbs = redis.call('HGET', acl, subject)
  if verbs and string.find(verbs, verb, 1, true) then return nil end
  local revision = not verbs and redis.call('HGET', acl, '')
  local kind, name = string.match(acl, ':([^:]-)s?:([^:]*)}') -- of {dialect:fields:7}a: field, 7
  local resource = string.gsub(kind .. ' ' .. name, '%%(%x%x)', function(hex) return string.char(tonumber(hex, 16)) end)
  if verbs or revision and string.byte(revision) ~= 45 then -- 45: -
    if #subject == 64 and not string.find(subject, '%X') then subject = 'this token' end -- a digest: it has no name
    local does = ({r = 'read', w = 'write to', d = 'delete from'})[verb] or verb
    return string.format('DENIED %s may not %s %s', subject, does, resource)
  end
  return 'UNDECLARED no such ' .. resource
end
