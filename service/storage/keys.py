"""The only module that makes the names of Redis keys.

All keys of a collection have one hash tag, so they are in one slot, and one script can use all of them. Ids from
clients are percent-encoded before they become part of a name, so they cannot contain `{`, `}` or `:`.

| key | type | content |
| --- | --- | --- |
| `{DIALECT:NAMESPACE:COLLECTION}r:ID` | string | a record: packed header, then the body |
| `{DIALECT:NAMESPACE:COLLECTION}s:TOKEN` | string | a staged body (or hash of many grants); lives for a minute |
| `{DIALECT:NAMESPACE:COLLECTION}f:ID` | string | a record with files: packed header, then its manifest |
| `{DIALECT:NAMESPACE:COLLECTION}b:BLOB:NUMBER` | string | a chunk of a blob; lives for a minute until it is attached |
| `{DIALECT:NAMESPACE:COLLECTION}o:DIGEST` | string | the reply of a write with an idempotency key; lives for a day |
| `{DIALECT:NAMESPACE:COLLECTION}x` | zset | id -> expiry (ms), of records that expire |
| `{DIALECT:NAMESPACE:COLLECTION}a` | hash | subject -> verbs, if there are scopes; '' -> revision of these grants |
| `{DIALECT:NAMESPACE:COLLECTION}c`, `u`, `s`, `n` | zset | id -> created, updated (us), size (bytes), 0 (sorts by id) |
| `{DIALECT:NAMESPACE:COLLECTION}j` | stream | the journal: an entry for each change, if one is declared |
| `{DIALECT:NAMESPACE:COLLECTION}k` | hash | state of the journal (lua/include/trim_portion.lua, enter_expired.lua) |
| `{DIALECT:NAMESPACE:COLLECTION}variables` | hash | id (6 bytes) -> packed variable (variables.py) |
| `{DIALECT:NAMESPACE:COLLECTION}names` | hash | digest of user and key -> id of that variable |
| `{DIALECT:NAMESPACE:COLLECTION}newest` | zset | id -> time of the variable's last update (us) |
| `{DIALECT:NAMESPACE:COLLECTION}lists` | hash | list of variables -> its members if it is short, else their number |
| `{DIALECT:NAMESPACE:COLLECTION}listing` | zset | list and member in one, of long lists; all scores 0 |
| `{DIALECT:NAMESPACE}collections` | zset | collection -> time of its last registration (us) |
| `{DIALECT:NAMESPACE}usage` | string | documents and bytes in use, if there is a quota; lives for an hour |
| `{DIALECT}users` | hash | a user's name -> number |
| `{DIALECT}declared` | hash | declared number -> display name, '' for the default |
| `{DIALECT}user` | string | the last number that was allotted to a user |
| `{DIALECT}variable` | string | the last number that was reserved for a variable |
| `polystow:namespaces` | hash | `DIALECT:NAMESPACE` of every namespace that ever had a record -> kinds of index |
| `polystow:entry:DIALECT:KIND:ID` | string | an entry of the access directory, packed |
| `polystow:passwords:DIALECT` | hash | name of each user with a password -> salt and digest of it |
| `polystow:epoch` | string | a number that grows with every change of the access directory |
| `polystow:rate:DIALECT:ID` | string | time at which the next request of a caller with a rate is due (us) |
| `polystow:links:DIALECT:KIND:ID` | zset | member to which the id is linked -> revision of the link |
| `polystow:revision` | string | the latest revision of grants; it grows with every change |
| `polystow:secret` | string | random bytes, from which ids are made that others cannot compute |
| `polystow:libraries` | hash | name of a library of functions -> time of its last use by a worker (us) |
| `polystow:sweeper` | string | name of the worker with the sweeper's lease; it expires soon |
"""

import re
from functools import lru_cache
from urllib.parse import quote, unquote

NAMESPACES = "polystow:namespaces"
GENERATION = "polystow:epoch"  # the name is that of an earlier version, because workers of both serve during an update
REVISION = "polystow:revision"
SWEEPER = "polystow:sweeper"
SECRET = "polystow:secret"
LIBRARIES = "polystow:libraries"

is_unreserved = re.compile(rb"[A-Za-z0-9_.~-]+").fullmatch  # the unreserved characters of RFC 3986, section 2.3
_variables = re.compile(r"\{([^:{}]+):([^:{}]+):([^:{}]+)\}(?:variables|names|newest|lists|listing)").fullmatch
_shared = re.compile(r"polystow:(entry|links|passwords):([^:]+)(?::([^:]+):([^:]*))?").fullmatch
_counted = re.compile(r"\{([^:{}]+)\}(users|user|variable)").fullmatch
_ESCAPES = {code: quote(chr(code), safe="") for code in range(128)}
_owned = re.compile(r"\{([^:{}]+):([^:{}]*):([^:{}]+)\}([rsfb]:|[a-z]$)(.*)").fullmatch


def escape(id: str) -> str:
    """Percent-encode characters that RFC 3986 does not call unreserved (in UTF-8)."""
    if not id.isascii():
        return quote(id, safe="")
    return id if id.isalnum() else id.translate(_ESCAPES)


class Collection:
    """The keys of one collection. Create it with `collection()`, which caches collections.

    `kinds` has a letter for each index that the collection has, as lua/include/index.lua reads them.
    """

    __slots__ = (
        "acl",
        "attached",
        "chunks",
        "dialect",
        "expiry",
        "guarded",
        "indexes",
        "journal",
        "journal_state",
        "journaled",
        "kinds",
        "name",
        "namespace",
        "records",
        "registry",
        "staging",
        "tag",
        "tail",
    )

    def __init__(self, dialect: str, namespace: str, name: str, kinds: str) -> None:
        self.dialect, self.namespace, self.name, self.kinds = dialect, namespace, name, kinds
        self.tag = tag = f"{{{escape(dialect)}:{escape(namespace)}:{escape(name)}}}"
        self.records = tag + "r:"
        self.staging = tag + "s:"
        self.acl = tag + "a"
        self.attached = tag + "f:"
        self.chunks = tag + "b:"
        self.expiry = tag + "x"
        self.indexes = tuple(tag + kind for kind in kinds)
        self.tail = (self.expiry, *self.indexes)  # the last keys of every script that uses the indexes
        self.guarded = (self.acl, *self.tail)  # the last keys of a script that also checks grants
        self.journal = tag + "j"
        self.journal_state = tag + "k"
        self.journaled = (self.journal, self.journal_state)  # the last keys of a script that writes the journal
        self.registry = registry(dialect, namespace)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Collection) and (self.tag, self.kinds) == (other.tag, other.kinds)

    def __hash__(self) -> int:
        return hash(self.tag)

    def record(self, id: str) -> str:
        return self.records + escape(id)

    def staged(self, token: str) -> str:
        return self.staging + token

    def attachment(self, id: str) -> str:
        return self.attached + escape(id)

    def chunk(self, blob: str, number: int) -> str:
        return f"{self.chunks}{blob}:{number}"

    def index(self, kind: str) -> str:
        """Return the key of the index with that letter. Raises ValueError if the collection has none."""
        return self.indexes[self.kinds.index(kind)]


# The names of each take at most 13 KB: 26 MB in all.
collection = lru_cache(maxsize=2_000)(Collection)


def remembered(key: str, digest: str) -> str:
    """Return the key of a remembered reply, in the slot of the collection's key `key`."""
    return f"{key[: key.index('}') + 1]}o:{digest}"


def variables(collection: Collection) -> str:
    return collection.tag + "variables"


def names(collection: Collection) -> str:
    return collection.tag + "names"


def newest(collection: Collection) -> str:
    return collection.tag + "newest"


def lists(collection: Collection) -> str:
    return collection.tag + "lists"


def listing(collection: Collection) -> str:
    return collection.tag + "listing"


def parse_variables(key: str) -> Collection | None:
    """Return the collection of a key that holds variables, their names or lists; else None."""
    if (match := _variables(key)) is None:
        return None
    return collection(*map(unquote, match.groups()), "")


def users(dialect: str) -> str:
    return f"{{{escape(dialect)}}}users"


def declared(dialect: str) -> str:
    return f"{{{escape(dialect)}}}declared"


def user(dialect: str) -> str:
    return f"{{{escape(dialect)}}}user"


def variable(dialect: str) -> str:
    return f"{{{escape(dialect)}}}variable"


def registry(dialect: str, namespace: str) -> str:
    return f"{{{escape(dialect)}:{escape(namespace)}}}collections"


def usage(dialect: str, namespace: str) -> str:
    return f"{{{escape(dialect)}:{escape(namespace)}}}usage"


def namespace(dialect: str, name: str) -> str:
    """Return the member of `NAMESPACES` for a namespace."""
    return f"{escape(dialect)}:{escape(name)}"


def parse_namespace(member: str) -> tuple[str, str]:
    """Return dialect and name of a member of `NAMESPACES`."""
    dialect, name = member.split(":")
    return unquote(dialect), unquote(name)


def parse(key: str) -> tuple[str, str, str, str, str] | None:
    """Return the parts of a collection's key: dialect, namespace, name, kind and rest; None for any other key.

    The kind is `r:`, `s:`, `f:`, `b:` or an index's letter; the rest is an id, a token, or `BLOB:NUMBER`.
    """
    if (match := _owned(key)) is None:
        return None
    dialect, namespace, name, kind, rest = match.groups()
    return unquote(dialect), unquote(namespace), unquote(name), kind, unquote(rest)


def entry(dialect: str, kind: str, id: str) -> str:
    return f"polystow:entry:{escape(dialect)}:{escape(kind)}:{escape(id)}"


def links(dialect: str, kind: str, id: str) -> str:
    return f"polystow:links:{escape(dialect)}:{escape(kind)}:{escape(id)}"


def rate(dialect: str, id: str) -> str:
    return f"polystow:rate:{escape(dialect)}:{escape(id)}"


def passwords(dialect: str) -> str:
    return f"polystow:passwords:{escape(dialect)}"


def parse_shared(key: str) -> tuple[str, str, str, str] | None:
    """Return sort, dialect, kind and id of a key that belongs to no collection; None if it is another key.

    The sort is entry, links, passwords, users, user or variable; kind and id are "" if the key has none.
    """
    if match := _shared(key):
        sort, dialect, kind, id = match.groups()
        return sort, unquote(dialect), unquote(kind or ""), unquote(id or "")
    if match := _counted(key):
        return match[2], unquote(match[1]), "", ""
    return None
