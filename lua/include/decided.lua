--- The header of a record after one operation of a batch, or nil after a delete. If the operation is refused: nil and
--- the reason. `op` is create, put, patch or delete. `before` is the header after the earlier operations of the
--- batch, or nil. `failure` is a refusal that the worker has found, or ''. The body of a patch is the patched
--- document.
--- @include precondition_error
--- @include deadline
--- @include renewed
local function decided(op, before, at, caller, lifetime, condition, failure, size)
  local refusal = precondition_error(op == 'create' and 'new' or condition, before)
    or (op == 'patch' or op == 'delete') and not before and 'NOTFOUND no such key'
    or failure ~= '' and failure
  if refusal then return nil, refusal end
  if op == 'delete' then return nil end
  local expires = deadline(lifetime, at, before)
  if not expires then return nil, 'INVALID the expiry is not in the future' end
  return renewed(before, at, caller, expires, size)
end
