def splice(target: bytes, patch: bytes) -> bytes:
    raise RuntimeError
