"""The measured operations of all dialects: their requests, expected answers and goals.

All writes store `DOCUMENT`, so that no write changes the expected answer of a read.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import md5

import orjson

from bench.compare.systems.polystow import CHANGE, DOCUMENTS, HEADERS
from bench.compare.workloads import EXPIRING, GET, ITEMS, PUT, SIZES, SMALL, Workload
from bench.compare.wrk import Request
from bench.documents import document
from bench.polystow import AGENT, FEW_KEY, TOKEN, USER, VARIABLES_USER, VARIABLES_USER_ID

KEYS = 10_000
CATEGORIES = 10
CONNECTIONS = 64
LIFETIME = 86_400  # seconds, of records that expire
PUT_10K = replace(PUT, name="put-10k", title="PUT existing, 10 KB", size=SIZES["10k"], keys=1000)
PEERS = (GET, PUT, EXPIRING, PUT_10K)

DOCUMENT = document(SMALL)
LARGE = document(SIZES["10k"])
PATCHED_DOCUMENT = DOCUMENT.replace(b'"count":10', CHANGE.strip(b"{}"))
ETAG = md5(DOCUMENT, usedforsecurity=False).hexdigest()

Right = Callable[[bytes], bool]


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation of a dialect, measured over `keys` keys.

    `fill` are requests that are sent for each key first. If the service chooses the key, `named` finds it in the last
    answer to these. `peer` is the workload of nginx + Lua that it is compared with, and `goal` the smallest ratio.
    """

    name: str
    title: str
    request: Request
    right: Right  # checks the body of an answer
    peer: Workload
    goal: float
    fill: tuple[Request, ...] = ()
    status: int = 200
    keys: int = KEYS
    named: Callable[[bytes], str] | None = None
    main: bool = False  # True if it is a part of a quick run

    @property
    def script(self) -> str:
        """The name of the wrk script that makes its requests."""
        return "spread" if "KEY" in self.request.path or b"KEY" in self.request.body else "same"


def _member(name: str, value: object) -> Right:
    return lambda body: bool(orjson.loads(body).get(name) == value)


def _etag_of(body: bytes) -> Right:
    return _member("etag", md5(body, usedforsecurity=False).hexdigest())


def _has(name: str) -> Right:
    return lambda body: bool(orjson.loads(body).get(name))


def _holds(count: int, name: str = "") -> Right:
    """Return a check for the number of items in the answer, or in one of its members."""

    def right(body: bytes) -> bool:
        answer = orjson.loads(body)
        return len(answer[name] if name else answer) == count

    return right


def _put(category: str, body: bytes = DOCUMENT, query: str = "") -> Request:
    return Request("PUT", f"{DOCUMENTS}/{category}/KEY{query}", HEADERS, body)


STORED = _put("stored")
PATCHED = _put("patched")
PUT_LARGE = _put("large", LARGE)
PUT_EXPIRING = _put("expiring", query=f"?expiresMs={1000 * LIFETIME}")
PUT_IF_MATCH = replace(STORED, headers=HEADERS | {"If-Match": "*"})
FEW_HEADERS = {"Authorization": f"Bearer {FEW_KEY}"}
CATEGORY = Request("PUT", f"{DOCUMENTS}/category-KEY/one", FEW_HEADERS, DOCUMENT)
ETAG_RIGHT = _etag_of(DOCUMENT)


def _of(path: str, headers: dict[str, str] = HEADERS) -> Request:
    return Request("GET", path, headers)


AINOFLOW = (
    Operation("ainoflow-get", "GET", _of(STORED.path), DOCUMENT.__eq__, GET, 2.0, (STORED,), main=True),
    Operation("ainoflow-meta", "GET meta", _of(f"{STORED.path}/meta"), ETAG_RIGHT, GET, 2.0, (STORED,)),
    Operation(
        "ainoflow-304",
        "GET that is a 304",
        _of(STORED.path, HEADERS | {"If-None-Match": f'"{ETAG}"'}),
        b"".__eq__,
        GET,
        2.0,
        (STORED,),
        status=304,
    ),
    Operation("ainoflow-put", "PUT", STORED, ETAG_RIGHT, PUT, 0.8, (STORED,), main=True),
    Operation(
        "ainoflow-put-expiring", "PUT with an expiry", PUT_EXPIRING, _has("expiresAt"), EXPIRING, 0.8, (PUT_EXPIRING,)
    ),
    Operation(
        "ainoflow-post",
        "POST with a generated key",
        Request("POST", f"{DOCUMENTS}/created", HEADERS, DOCUMENT),
        _has("key"),
        PUT,
        0.6,
        status=201,
    ),
    Operation("ainoflow-if-match", "PUT with If-Match: *", PUT_IF_MATCH, ETAG_RIGHT, PUT, 0.6, (STORED,)),
    Operation(
        "ainoflow-patch",
        "PATCH",
        Request("PATCH", PATCHED.path, HEADERS, CHANGE),
        _etag_of(PATCHED_DOCUMENT),
        PUT,
        0.65,
        (PATCHED,),
    ),
    Operation(
        "ainoflow-put-10k", "PUT of 10 KB", PUT_LARGE, _etag_of(LARGE), PUT_10K, 0.35, (PUT_LARGE,), keys=PUT_10K.keys
    ),
    Operation(
        "ainoflow-list",
        f"list page of {ITEMS}",
        _of(f"{DOCUMENTS}/stored?limit={ITEMS}"),
        _holds(ITEMS),
        GET,
        0.15,
        (STORED,),
    ),
    Operation(
        "ainoflow-categories",
        f"{CATEGORIES} categories",
        _of(DOCUMENTS, FEW_HEADERS),
        _holds(CATEGORIES),
        GET,
        0.4,
        (CATEGORY,),
        keys=CATEGORIES,
    ),
)

AURAVANT_HEADERS = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}


def _auravant(scope: str, operation: str, members: bytes) -> Request:
    return Request("POST", f"/api/mktplace/storage/{scope}?operation={operation}", AURAVANT_HEADERS, b"{%b}" % members)


def _user_value(operation: str, members: bytes) -> Request:
    return _auravant("users", operation, b'"id":"%b",%b' % (USER.encode(), members))


def _objects(*levels: str) -> Right:
    """Return a check that `objects` in the answer, or each of these levels in it, has one document for each field."""

    def right(body: bytes) -> bool:
        answer = orjson.loads(body)
        objects = answer["info"].get("objects", {})
        found = [objects.get(level, {}) for level in levels] if levels else [objects]
        return answer["code"] == 0 and all([*each.values()] == [orjson.loads(DOCUMENT)] for each in found)

    return right


USER_PUT = _user_value("PUT", b'"key":"KEY","value":%b,"overwrite":true' % DOCUMENT)
LOG_PUT = _user_value("PUT", b'"key":"log_KEY","value":[{"event":0}],"overwrite":true')
LOG_APPEND = _user_value("PATCH", b'"key":"log_KEY","value":{"event":1},"append":true')
FIELD_PUTS = tuple(
    _auravant("fields", "PUT", b'"id":%d,"key":"KEY","value":%b,"overwrite":true' % (field, DOCUMENT))
    for field in (1, 2, 3)
)
DONE = _member("code", 0)
AURAVANT = (
    Operation(
        "auravant-get",
        "GET of one",
        _auravant("users", "GET", b'"keys":["KEY"]'),
        _objects(),
        GET,
        1.0,
        (USER_PUT,),
        main=True,
    ),
    Operation(
        "auravant-fields",
        "GET of [] over three fields",
        _auravant("fields", "GET", b'"ids":[],"keys":["KEY"]'),
        _objects("1", "2", "3"),
        GET,
        0.3,
        FIELD_PUTS,
    ),
    Operation("auravant-put", "PUT, overwrite", USER_PUT, DONE, PUT, 0.7, (USER_PUT,), main=True),
    Operation("auravant-append", "append", LOG_APPEND, DONE, PUT, 0.7, (LOG_PUT,)),
)

AVAAMO_HEADERS = {"Access-Token": TOKEN, "Content-Type": "application/json"}
VARIABLES = f"/dashboard/bots/{AGENT}/storages.json"


def _set(user: str, key: bytes) -> Request:
    body = b'{"key":"%b","value":"plan A","bot_id":%d}' % (key, AGENT)
    return Request("POST", f"/bots_api/v1/users/{user}/set_storage.json", AVAAMO_HEADERS, body)


SET = _set("user-KEY", b"plan")
SET_OF_ONE = _set(VARIABLES_USER, b"variable_KEY")
ONE = _of(f"{VARIABLES}?user_id={VARIABLES_USER_ID}&key=variable_KEY", AVAAMO_HEADERS)
AVAAMO = (
    Operation("avaamo-set", "set, the value that it has", SET, _member("status", 201), PUT, 0.55, (SET,), main=True),
    Operation("avaamo-list", "list of 25", _of(VARIABLES, AVAAMO_HEADERS), _holds(25, "storage"), GET, 0.3, (SET,)),
    Operation("avaamo-one", "one by user and key", ONE, _holds(1, "storage"), GET, 0.5, (SET_OF_ONE,), main=True),
)

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
AREAS = "/genesys/1/storage"
TEXTS = {"name": "x" * 40, "note": "y" * 60}
CREATE = Request("POST", f"{AREAS}/{LIFETIME}", FORM, "&".join(f"{k}={v}" for k, v in TEXTS.items()).encode())


def _area(body: bytes) -> str:
    return str(orjson.loads(body)["id"])


GENESYS = (
    Operation("genesys-create", "create, two texts", CREATE, _has("id"), PUT, 0.25, main=True),
    Operation(
        "genesys-one",
        "GET one key",
        _of(f"{AREAS}/KEY/name", {}),
        TEXTS["name"].encode().__eq__,
        GET,
        1.5,
        (CREATE,),
        named=_area,
        main=True,
    ),
    Operation(
        "genesys-all",
        "GET all keys",
        _of(f"{AREAS}/KEY", {}),
        lambda body: orjson.loads(body) == TEXTS,
        GET,
        1.2,
        (CREATE,),
        named=_area,
    ),
)

OPERATIONS = (*AINOFLOW, *AURAVANT, *AVAAMO, *GENESYS)
OPERATIONS_BY_NAME = {operation.name: operation for operation in OPERATIONS}
