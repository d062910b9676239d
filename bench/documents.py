"""JSON documents of an exact size, so that every system under test gets the same bytes.

A document of more than about 400 bytes is mostly a list of small objects. One long string would take almost no time to
validate, which would be an advantage for systems that validate.
"""

ITEM = b'{"sku":"%06d","price":%d.50,"label":"item %06d","sold":false}'
ITEM_BYTES = len(ITEM % (0, 100, 0)) + 1  # the item and its comma


def document(size: int, name: str = "document") -> bytes:
    """Return a JSON object of exactly `size` bytes with a member `name`. Raises ValueError if `size` is too small."""
    items = max(0, size - 300) // ITEM_BYTES
    body = b'{"name":"%b","count":10,"done":false,"tags":["red","green"],' % name.encode()
    if items:
        body += b'"items":[%b],' % b",".join(ITEM % (i, 100 + i % 900, i) for i in range(items))
    body += b'"text":"'
    room = size - len(body) - 2
    if room < 0:
        raise ValueError(f"a document has at least {size - room} bytes, not {size}")
    return body + b"x" * room + b'"}'
