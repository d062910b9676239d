"""Tests that messages that HTTP forbids are refused in order, in the dialect's format, with the right status."""

import json
from collections.abc import Callable

import pytest

from service.http.parser import HEAD_BYTES
from tests.raw_http import DOCUMENTS, Response, Wire, connected, request
from tests.running import Running

K = f"{DOCUMENTS}/messages/k"
GET = request("GET", K)
LONG = "X: " + "x" * 9_000
FULL = [f"X-{number}: {'x' * 8_000}" for number in range(16)]  # lines that are too long together
NO_HOST = GET.replace(b"Host: x\r\n", b"")

# The format of an error's body, by path.
SHAPES: dict[str, Callable[[dict[str, object]], bool]] = {
    "/api/v1/storage/json/c/k": lambda body: list(body) == ["error"] and isinstance(body["error"], dict),
    "/api/mktplace/storage/users": lambda body: set(body) == {"code", "res", "msg", "info"},
    "/publicvalues/user": lambda body: set(body) == {"code", "res", "msg", "info"},
    "/genesys/1/storage/60": lambda body: set(body) == {"exception", "message"},
    "/dashboard/bots/1/storages.json": lambda body: list(body) == ["error"] and isinstance(body["error"], str),
    "/nothing": lambda body: list(body) == ["error"] and isinstance(body["error"], dict),
}


async def refused(running: Running, *segments: bytes) -> Response:
    """Send a message that ends its connection, and return the only answer, which must be HTTP/1.1."""
    async with connected(running) as wire:
        await wire.send(*segments)
        got = await wire.rest()
    assert got.startswith(b"HTTP/1.1 ")
    head, _, body = got.partition(b"\r\n\r\n")
    start, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    assert headers["Connection"] == "close"
    assert headers["Server"] == "polystow"
    assert len(body) == int(headers["Content-Length"])
    return Response(int(start.split(" ")[1]), headers, body)


def host(*lines: str, target: str = K, version: str = "1.1") -> bytes:
    return "\r\n".join([f"GET {target} HTTP/{version}", *lines, "Authorization: Bearer ak-1", "", ""]).encode()


@pytest.mark.parametrize("path", SHAPES)
@pytest.mark.parametrize(
    ("status", "message"),
    [
        (431, lambda path: request("GET", path, None, LONG)),
        (431, lambda path: request("GET", path, None, *(f"X-{number}: y" for number in range(200)))),
        (431, lambda path: request("GET", path, None, *FULL)),
        (414, lambda path: request("GET", path + "?" + "x" * 70_000)),
        (505, lambda path: request("GET", path, version="2.0")),
        (505, lambda path: request("GET", path, version="3.1")),
        (501, lambda path: request("BREW", path)),
        (400, lambda path: request("GET", path + "#x")),
        (400, lambda path: request("GET", path).replace(b"Host: x\r\n", b"")),
        (400, lambda path: request("GET", path, None, "Host: x")),
        (400, lambda path: request("GET", path, None, "X : y")),
    ],
    ids=[
        "long header",
        "many headers",
        "long headers",
        "long line",
        "2.0",
        "3.1",
        "method",
        "fragment",
        "no host",
        "two",
        "space",
    ],
)
async def test_a_malformed_message_is_refused_in_the_shape_of_its_dialect(
    service: Running, path: str, status: int, message: Callable[[str], bytes]
) -> None:
    found = await refused(service, message(path))
    assert found.status == status
    assert SHAPES[path](json.loads(found.body)), found.body


async def test_the_shape_of_the_refusal_is_known_if_a_head_arrives_in_pieces(service: Running) -> None:
    message = request("GET", "/genesys/1/storage/60", None, LONG)
    for cut in (1, 5, 30, 45, 2_000):
        found = await refused(service, message[:cut], message[cut:3_000], message[3_000:])
        assert (found.status, set(json.loads(found.body))) == (431, {"exception", "message"})


async def test_a_head_that_grows_is_refused_before_its_end(service: Running) -> None:
    """Without a limit of all its lines together, a head would take 2 MB of memory."""
    message = request("GET", "/genesys/1/storage/60", None, *FULL)[:-2]
    for size in (10_000, 40_000):
        pieces = [message[start : start + size] for start in range(0, len(message), size)]
        found = await refused(service, *pieces)
        assert (found.status, set(json.loads(found.body))) == (431, {"exception", "message"})


async def test_the_longest_head_is_served_again_and_again(service: Running) -> None:
    short = f"{DOCUMENTS}/messages/longest"  # used only by this test
    target = short + "?" + "x" * 60_000
    more = HEAD_BYTES - len(request("GET", target, None, *FULL[:4], "Y: "))
    long = request("GET", target, None, *FULL[:4], "Y: " + "y" * more)
    assert len(long) == HEAD_BYTES
    async with connected(service) as wire:
        for segments in ((long,), (long + long,), (long[:50_000], long[50_000:]), (request("GET", short),)):
            await wire.send(*segments)
            for _ in range(len(b"".join(segments)) // HEAD_BYTES or 1):
                assert (await wire.response()).status == 404


async def test_messages_name_the_limit_and_quote_nothing(service: Running) -> None:
    told = {
        request("GET", K, None, LONG): "a header line must have at most 8190 bytes",
        request("GET", K, None, *FULL): "the request's head must have at most 98304 bytes",
        request("GET", K + "x" * 70_000): "the request's target must have at most 65536 bytes",
        NO_HOST: "the header Host is missing",
        request("GET", K, None, "Host: y"): "the header Host may be given only once",
    }
    for message, text in told.items():
        assert json.loads((await refused(service, message)).body) == {"error": {"message": text}}


async def test_a_head_request_is_refused_without_a_body(service: Running) -> None:
    async with connected(service) as wire:
        await wire.send(request("HEAD", K, None, LONG))
        got = await wire.rest()
    assert got.startswith(b"HTTP/1.1 431 ")
    assert got.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("before", [1, 3, 40])
async def test_valid_messages_before_a_malformed_one_are_answered(service: Running, before: int) -> None:
    put = request("PUT", K, b'{"a":1}')
    async with connected(service) as wire:
        await wire.send(put * before + request("GET", "/genesys/1/x", None, LONG) + GET)
        assert [(await wire.response()).status for _ in range(before)] == [200] * before
        last = await wire.response()
        assert last.status == 431
        if before < 32:  # otherwise it is parsed after the earlier answers
            assert set(json.loads(last.body)) == {"exception", "message"}
        assert await wire.rest() == b""


async def test_a_body_with_malformed_chunks_is_refused_at_once(service: Running) -> None:
    """The service does not wait until the deadline for bodies."""
    head = request("PUT", f"{DOCUMENTS}/messages/broken", None, "Transfer-Encoding: chunked")
    found = await _closing(service, head + b"1\r\n{\r\n", b"zz\r\n}\r\n0\r\n\r\n")
    assert found.status == 400
    assert b"chunks are malformed" in found.body
    async with connected(service) as wire:
        assert (await wire.ask("GET", f"{DOCUMENTS}/messages/broken")).status == 404


async def _closing(running: Running, *segments: bytes) -> Response:
    async with connected(running) as wire:
        await wire.send(*segments)
        found = await wire.response()
        assert await wire.rest() == b""
    return found


@pytest.mark.parametrize("field", ["Authorization: Bearer ak-3", "X-Request-Id: another", "X: y"])
@pytest.mark.parametrize("cut", [1, 3, 1_000])
async def test_a_trailer_does_not_become_a_header_of_the_next_message(service: Running, field: str, cut: int) -> None:
    """Otherwise a client behind a proxy could put its credential into the next request on the same connection."""
    body = f"2\r\n{{}}\r\n0\r\nX-First: y\r\n{field}\r\n\r\n".encode()
    head = request("PUT", K, None, "Transfer-Encoding: chunked")
    stranger = request("GET", "/api/v1/whoami", credential="X-Nothing: y")
    for behind in (b"", stranger):
        async with connected(service) as wire:
            sent = head + body + behind
            await wire.send(*(sent[at : at + cut] for at in range(0, len(sent), cut)))
            assert (await wire.response()).status == 200
            if not behind:
                await wire.send(stranger)
            found = await wire.response()
            assert (found.status, found.headers["X-Request-Id"] != "another") == (401, True)
            assert (await wire.ask("GET", "/api/v1/whoami")).status == 200


@pytest.mark.parametrize("protocol", ["h2c", "websocket", "nonsense"])
@pytest.mark.parametrize("body", [None, b"{}"])
async def test_requests_after_an_ignored_upgrade_are_answered(
    service: Running, protocol: str, body: bytes | None
) -> None:
    upgrade = request("PUT", K, body, f"Upgrade: {protocol}", "Connection: Upgrade")
    async with connected(service) as wire:
        await wire.send(upgrade + GET + GET)
        assert [(await wire.response()).status for _ in range(3)] == [200 if body else 400, 200, 200]


@pytest.mark.parametrize("coding", ["gzip, chunked", "x, chunked", ",chunked", ""])
async def test_other_transfer_codings_are_refused(service: Running, coding: str) -> None:
    message = request("PUT", K, None, f"Transfer-Encoding: {coding}") + b"2\r\n{}\r\n0\r\n\r\n"
    assert (await refused(service, message)).status == 501


async def test_a_client_that_goes_on_sending_gets_the_refusal(service: Running) -> None:
    async with connected(service) as wire:
        await wire.send(request("GET", "/genesys/1/x", None, LONG), *[b"x" * 1_000] * 20)
        assert (await wire.response()).status == 431
        assert await wire.rest() == b""


HOSTS = ["x", "x.example:80", "x:", "127.0.0.1", "[::1]:8080", "a_b", "%C3%A4"]
NO_HOSTS = ["", "x y", "user@x", "x/y", "x:port", "x:123456", "[::1", "http://x", "\u00e4", "x\\y", "x?y", "x#y", "%zz"]


@pytest.mark.parametrize("name", HOSTS)
async def test_a_valid_host_is_served(service: Running, name: str) -> None:
    async with connected(service) as wire:
        await wire.send(host(f"Host: {name}", target="/api/v1/whoami"))
        assert (await wire.response()).status == 200


@pytest.mark.parametrize("name", NO_HOSTS)
async def test_an_invalid_host_is_refused(service: Running, name: str) -> None:
    for lines in ([f"Host: {name}"], [f"Host:{name}"], [f"X: y\r\nhost: {name}"]):
        assert (await refused(service, host(*lines))).status == 400


@pytest.mark.parametrize("lines", [["Host: x", "Host: x"], ["Host: x", "Host: y"], ["Host: x", "HOST: "]])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_two_hosts_are_refused(service: Running, lines: list[str], version: str) -> None:
    assert (await refused(service, host(*lines, version=version))).status == 400


async def test_http_1_0_needs_no_host_and_has_no_chunks(service: Running) -> None:
    assert (await _closing(service, host(target="/api/v1/whoami", version="1.0"))).status == 200
    chunked = request("PUT", K, None, "Transfer-Encoding: chunked", "Connection: keep-alive", version="1.0")
    assert (await refused(service, chunked + b"2\r\n{}\r\n0\r\n\r\n" + GET)).status == 400


async def created(wire: Wire, target: str, name: str) -> str:
    """Store a file and return its URL, which begins with the host that the request named."""
    form = b'--b\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\nx\r\n--b--\r\n'
    type = "Content-Type: multipart/form-data; boundary=b"
    prefix = target.partition("/genesys")[0]
    await wire.send(request("POST", target, form, type).replace(b"Host: x", f"Host: {name}".encode()))
    id = json.loads((await wire.response()).body)["id"]
    await wire.send(request("GET", f"{prefix}/genesys/1/storage/{id}/f").replace(b"Host: x", f"Host: {name}".encode()))
    return (await wire.response()).body.decode()


async def test_the_authority_of_an_absolute_target_counts_before_host(service: Running) -> None:
    async with connected(service) as wire:
        assert (await created(wire, "/genesys/1/storage/60", "one")).startswith("http://one/genesys/")
        assert (await created(wire, "http://two:81/genesys/1/storage/60", "one")).startswith("http://two:81/genesys/")
        assert (await created(wire, "HTTP://two/genesys/1/storage/60", "one")).startswith("http://two/genesys/")


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("http://x/api/v1/whoami", 200),
        ("https://x:1/api/v1/whoami?a=b", 200),
        ("http://x", 200),
        ("http://x?a", 200),
        ("http://x/none", 404),
    ],
)
async def test_absolute_targets_are_served(service: Running, target: str, status: int) -> None:
    async with connected(service) as wire:
        await wire.send(request("GET", target))
        assert (await wire.response()).status == status
        assert (await wire.ask("GET", "/api/v1/whoami")).status == 200


@pytest.mark.parametrize(
    "target",
    [
        "http://user@x" + K,
        "http://user:password@x" + K,
        "http://" + K,
        "http:///" + K,
        "ftp://x" + K,
        "http:" + K,
        "x" + K,
        "*",
        "?a",
        "http://x:y" + K,
        "http://x" + K + "#y",
        K + "#",
        K + "?a=b#c",
        "user@x:80",
    ],
)
async def test_invalid_targets_are_refused(service: Running, target: str) -> None:
    assert (await refused(service, request("GET", target))).status == 400


async def test_options_of_the_whole_service_are_answered(service: Running) -> None:
    async with connected(service) as wire:
        await wire.send(request("OPTIONS", "*"))
        told = await wire.response()
        assert (told.status, told.headers["Allow"]) == (204, "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
        assert (await wire.ask("GET", "/api/v1/whoami")).status == 200


async def test_connect_is_refused_and_nothing_after_it_is_read(service: Running) -> None:
    assert (await refused(service, request("CONNECT", "x:80") + GET)).status == 501


CREDENTIALS = [
    (request("GET", K, None, "Authorization: Bearer ak-1"), 401),
    (request("GET", K, None, "authorization: Bearer none"), 401),
    (request("POST", "/api/mktplace/storage/users?operation=GET", b"{}", "Authorization: Bearer ak-1"), 401),
    (request("GET", "/dashboard/bots/1/storages.json", None, "Access-Token: a", "Access-Token: a"), 401),
    (request("GET", "/genesys/1/storage/x", None, "Authorization: Basic eDp5"), 401),
    (request("GET", "/genesys/1/storage/x", None, "gms_user: a", "gms_user: b"), 400),
]


@pytest.mark.parametrize(("message", "status"), CREDENTIALS)
async def test_a_credential_that_is_sent_twice_is_refused(service: Running, message: bytes, status: int) -> None:
    async with connected(service) as wire:
        await wire.send(GET)  # afterwards the caller is cached
        assert (await wire.response()).status in (200, 404)
        for _ in range(2):
            await wire.send(message)
            found = await wire.response()
            assert found.status == status
            assert b"may be given only once" in found.body
