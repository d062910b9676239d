"""Tests that a request without a valid key is answered with 401 and does nothing."""

import pytest

from tests.dialects.ainoflow.client import DOCUMENTS, Client, at, on_the_wire, open_project

ENDPOINTS = [
    ("POST", at("d")),
    ("POST", at("d", "k")),
    ("PUT", at("d", "k")),
    ("PATCH", at("d", "k")),
    ("GET", at("d", "k")),
    ("HEAD", at("d", "k")),
    ("DELETE", at("d", "k")),
    ("GET", at("d", "k", "meta")),
    ("GET", at("d")),
    ("GET", DOCUMENTS),
    ("GET", "/api/v1/whoami"),
]
BAD = [
    b"",
    b"Authorization:\r\n",
    b"Authorization: Bearer\r\n",
    b"Authorization: Bearer \r\n",
    b"Authorization: Bearer Bearer KEY\r\n",
    b"Authorization: Bearer: KEY\r\n",
    b"Authorization: KEY\r\n",
    b"Authorization: Basic KEY\r\n",
    b"Authorization: Token KEY\r\n",
    b"Authorization: BearerKEY\r\n",
    b"Authorization: Bearer KEYx\r\n",
    b"Authorization: Bearer KE\r\n",
    b"Authorization: Bearer KEY, Bearer KEY\r\n",
    b'Authorization: Bearer "KEY"\r\n',
    b"Authorization: Bearer KEY KEY\r\n",
    b"Authorization: Bearer \xff\xfe\r\n",
    "Authorization: Bearer KEYé\r\n".encode(),
    b"Authorization: Bearer " + b"x" * 7000 + b"\r\n",
    b"X-Api-Key: KEY\r\n",
    b"Authorization: Bearer {}*?:\r\n",
]


@pytest.mark.parametrize("header", BAD, ids=lambda header: ascii(header[:40]))
async def test_a_bad_token_is_401(project: Client, header: bytes) -> None:
    await project.put("d", "k")
    for method, target in ENDPOINTS:
        given = header.replace(b"KEY", project.key.encode())
        head = f"{method} {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\n".encode()
        reply = await on_the_wire(project.running, head + given + b'\r\n{"n":1}')
        assert reply.status == 401, target
        assert reply.headers["WWW-Authenticate"] == "Bearer"
        if method != "HEAD":
            reply.refused(401)
    assert (await project.get("d", "k", "meta")).json["version"] == 1
    assert await project.keys("d") == ["k"]


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer "])
async def test_the_scheme_is_accepted_in_any_case(project: Client, scheme: str) -> None:
    head = f"GET /api/v1/whoami HTTP/1.1\r\nHost: x\r\nAuthorization: {scheme} {project.key}\r\n\r\n"
    assert (await on_the_wire(project.running, head.encode())).status == 200


async def test_a_key_of_another_project_sees_nothing(project: Client) -> None:
    other = await open_project(project.running, project.http)
    await project.put("d", "k", b"[1]")
    (await other.get("d", "k")).refused(404)
    (await other.get("d", "k", "meta")).refused(404)
    (await other.ask("PATCH", at("d", "k"), b"{}")).refused(404)
    (await other.ask("DELETE", at("d", "k"))).refused(404)
    assert (await other.get("d")).json == []
    await other.nothing_stored()
    await other.put("d", "k", b"[2]")
    assert (await project.get("d", "k")).body == b"[1]"


@pytest.mark.parametrize(
    "header",
    [
        b"X-Request-Id: a\rSet-Cookie: b",
        b"X-Request-Id: a\x00b",
        b'If-None-Match: "a\rX: 1"',
        b"Origin: http://a\rX: 1",
        b"X-Request-Id: " + b"a" * 65,
        b"X-Request-Id: a b",
    ],
)
async def test_no_request_header_is_copied_into_the_answer(project: Client, header: bytes) -> None:
    await project.put("d", "k")
    head = b"GET %b HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %b\r\n" % (at("d", "k").encode(), project.key.encode())
    reply = await on_the_wire(project.running, head + header + b"\r\n\r\n")
    assert reply.status in (200, 400)
    assert "Set-Cookie" not in reply.headers
    assert "X" not in reply.headers
    assert header.partition(b": ")[2].decode() not in reply.headers.values()


async def test_a_valid_request_id_is_returned(project: Client) -> None:
    assert (await project.ask("GET", "/api/v1/whoami", X_Request_Id="a-1.B_2")).headers["X-Request-Id"] == "a-1.B_2"
    refused = await project.ask("GET", at("d", "none"), X_Request_Id="a-1.B_2")
    assert (refused.status, refused.headers["X-Request-Id"]) == (404, "a-1.B_2")
