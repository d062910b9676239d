"""Keys that others may read: how they are called, and what a request for them means.

`public_ext_K` is for every extension, `public_priv_K` for the caller's own. Clients ask for K, for the key without its
`public_`, or for the key as it is stored: the vendor's page says the one at users, and the other at fields and farms.
"""

PUBLIC = "public"  # kind of the links from a record id to the users that have, or had, a record of it

EXT, PRIV = "ext_", "priv_"
PREFIX = "public_"


def is_public(key: str) -> bool:
    return key.startswith((PREFIX + EXT, PREFIX + PRIV))


def stored(key: str, *, own: bool) -> list[str]:
    """The stored keys that a request for `key` means, the one that wins first; `own`: of the caller's own extension."""
    if is_public(key):
        key = key.removeprefix(PREFIX)
    if key.startswith(EXT):
        return [PREFIX + key]
    if key.startswith(PRIV):
        return [PREFIX + key] if own else []
    return [PREFIX + EXT + key, *([PREFIX + PRIV + key] if own else [])]
