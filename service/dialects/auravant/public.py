"""Public keys: their names, and the stored keys that a request for one asks for.

`public_ext_K` is public to every extension, `public_priv_K` to the extension that stored it. Clients ask for K, for the
key without `public_`, or for the key as it is stored: the tables of the vendor's page for users, and for fields and
farms, disagree.
"""

PUBLIC = "public"  # kind of the links from a record id to the users that have, or had, that record

EXT, PRIV = "ext_", "priv_"
PREFIX = "public_"


def is_public(key: str) -> bool:
    return key.startswith((PREFIX + EXT, PREFIX + PRIV))


def stored_keys(key: str, *, own: bool) -> list[str]:
    """Return the stored keys that a request for `key` asks for; the first one has precedence.

    `own`: the request is for the caller's own extension.
    """
    if is_public(key):
        key = key.removeprefix(PREFIX)
    if key.startswith(EXT):
        return [PREFIX + key]
    if key.startswith(PRIV):
        return [PREFIX + key] if own else []
    return [PREFIX + EXT + key, *([PREFIX + PRIV + key] if own else [])]
