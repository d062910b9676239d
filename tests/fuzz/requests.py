"""Makes broken requests: valid ones that are changed in some places."""

from random import Random

from tests.raw_http import DOCUMENTS, request

NOT_SERVED = (501, 505)  # for a method, a transfer coding or a version of HTTP; not a fault of the service
SEEDS = (
    request("GET", f"{DOCUMENTS}/c/k"),
    request("HEAD", f"{DOCUMENTS}/c/k"),
    request("GET", f"{DOCUMENTS}/c/k/meta"),
    request("GET", f"{DOCUMENTS}/c?page=1&limit=2&sortBy=key&sortOrder=desc&aggregate=true"),
    request("GET", DOCUMENTS),
    request("GET", "/api/v1/whoami"),
    request("PUT", f"{DOCUMENTS}/c/k?expiresMs=100000", b'{"a":[1,2.50,"x\\u00e9"],"b":{"c":null}}'),
    request("PUT", f"{DOCUMENTS}/c/k", b'{"a":1}', 'If-Match: "d41d8cd98f00b204e9800998ecf8427e"'),
    request("PUT", f"{DOCUMENTS}/c/k", b'{"a":1}', "Expect: 100-continue"),
    request("POST", f"{DOCUMENTS}/c", b"[1,2,3]", "Content-Type: application/json", "X-Request-Id: abc"),
    request("PATCH", f"{DOCUMENTS}/c/k", b'{"a":{"b":2},"c":null}'),
    request("DELETE", f"{DOCUMENTS}/c/k2"),
    request("PUT", f"{DOCUMENTS}/c/k", None, "Transfer-Encoding: chunked") + b'7\r\n{"a":1}\r\n0\r\n\r\n',
)
PIECES = (
    b"\r\n",
    b"\n",
    b"\r",
    b"\x00",
    b"\xff\xfe",
    b"%00",
    b"%2f",
    b"%",
    b"{",
    b"}",
    b":",
    b"\t",
    b"../",
    b"//",
    b"?",
    b"#",
    b"Content-Length: -1\r\n",
    b"Content-Length: 99999999999999999999\r\n",
    b"Content-Length: 1\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n",
    b"Content-Encoding: gzip\r\n",
    b"Upgrade: websocket\r\nConnection: Upgrade\r\n",
    b"Connection: close\r\n",
    b"Expect: 100-continue\r\n",
    b'If-Match: W/"x", *\r\n',
    b"If-None-Match: ,,\r\n",
    b"Authorization: Bearer Bearer\r\n",
    b"HTTP/1.0",
    b"HTTP/9.9",
    b"\xe2\x80\xae",
    b"\\ud800",
    b"[" * 2000,
    b'{"a":' * 300,
    b"1e999",
    b"-",
    b"a" * 9000,
    b" ",
)


def broken(random: Random) -> bytes:
    """Return one to three requests, with some bytes removed, doubled, changed, or moved by an inserted piece."""
    text = bytearray(b"".join(random.choice(SEEDS) for _ in range(random.choice([1, 1, 1, 2, 3]))))
    for _ in range(random.choice([0, 1, 1, 2, 3, 8])):
        place = random.randrange(len(text) + 1)
        span = random.choice([1, 1, 2, 5, 40])
        kind = random.randrange(5)
        if kind == 0:
            del text[place : place + span]
        elif kind == 1:
            text[place:place] = random.choice(PIECES)
        elif kind == 2:
            text[place : place + span] = random.choice(PIECES)
        elif kind == 3:
            text[place:place] = text[place : place + span]
        elif place < len(text):
            text[place] = random.randrange(256)
    return bytes(text)
