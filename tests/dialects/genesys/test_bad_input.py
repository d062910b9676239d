"""Tests that input that is malformed, too large or of an unknown type is refused, and that nothing of it is stored."""

from collections.abc import Callable

import pytest
from aiohttp import ClientSession

from tests.dialects.genesys.client import BOUNDARY, FORM, MULTIPART, Client, File, areas, at, multipart
from tests.running import Running

B = BOUNDARY.encode()
LARGE = b"x" * 600_000
WHOLE = multipart(("a", "1"), ("file", ("a", "", LARGE)))
PART = b"--" + B + b"\r\nContent-Disposition: form-data"
NAMED = PART + b'; name="a"\r\n'
END = b"\r\n--" + B + b"--\r\n"

BAD = [
    ("cut off in a part", WHOLE[:300_000], MULTIPART, 400),
    ("cut off before the end", WHOLE[:-6], MULTIPART, 400),
    ("no part at all", b"", MULTIPART, 400),
    ("no boundary", WHOLE, "multipart/form-data", 400),
    ("an empty boundary", WHOLE, 'multipart/form-data; boundary=""', 400),
    ("another boundary", WHOLE, "multipart/form-data; boundary=other", 400),
    ("a long boundary", WHOLE, "multipart/form-data; boundary=" + "x" * 201, 400),
    ("an unnamed part", PART + b"\r\n\r\nx" + END, MULTIPART, 400),
    ("a part with an empty name", PART + b'; name=""\r\n\r\nx' + END, MULTIPART, 400),
    ("no disposition", b"--" + B + b"\r\nX: y\r\n\r\nx" + END, MULTIPART, 400),
    ("an attachment", b"--" + B + b'\r\nContent-Disposition: attachment; name="a"\r\n\r\nx' + END, MULTIPART, 400),
    ("a broken header", b"--" + B + b"\r\nnonsense\r\n\r\nx" + END, MULTIPART, 400),
    ("lines without CR", WHOLE.replace(b"\r\n", b"\n"), MULTIPART, 400),
    ("a transfer encoding", NAMED + b"Content-Transfer-Encoding: base64\r\n\r\neA==" + END, MULTIPART, 400),
    ("text that is not UTF-8", multipart(("a", "1")).replace(b"1", b"\xff"), MULTIPART, 400),
    ("text cut inside of a character", multipart(("a", "1")).replace(b"1", b"\xc3"), MULTIPART, 400),
    ("a charset that is none", NAMED + b"Content-Type: text/plain; charset=zip\r\n\r\nx" + END, MULTIPART, 400),
    ("a name that is not UTF-8", PART + b'; name="\xff"\r\n\r\nx' + END, MULTIPART, 400),
    ("URL-encoded text that is not UTF-8", b"a=%FF", FORM, 400),
    ("a URL-encoded name that is not UTF-8", b"%FF=1", FORM, 400),
    ("a URL-encoded field without a name", b"a=1&=2", FORM, 400),
    ("JSON", b'{"a":1}', "application/json", 415),
    ("another multipart", WHOLE, f"multipart/mixed; boundary={BOUNDARY}", 415),
    ("a type that is none", WHOLE, "nonsense", 415),
    ("a long header", PART + b'; name="a"\r\nX: ' + b"y" * 9000 + b"\r\n\r\nx" + END, MULTIPART, 413),
    ("many headers", PART + b'; name="a"\r\n' + b"X: y\r\n" * 20 + b"\r\nx" + END, MULTIPART, 413),
    ("a long name", PART + b'; name="' + b"n" * 257 + b'"\r\n\r\nx' + END, MULTIPART, 413),
    ("a long URL-encoded name", b"n" * 100_000, FORM, 413),
]


@pytest.mark.parametrize(("body", "type", "status"), [each[1:] for each in BAD], ids=[each[0] for each in BAD])
async def test_a_bad_form_is_refused_and_stores_nothing(gms: Client, body: bytes, type: str, status: int) -> None:
    before = areas(gms.running)
    (await gms.ask("POST", at("600"), body, Content_Type=type)).refused(status)
    mine = Client(gms.http, gms.running, "bad input")
    (await mine.ask("POST", at("custom", "id", "600"), body, Content_Type=type)).refused(status)
    id = await gms.create(("a", "kept"))
    (await gms.ask("POST", at(id, "600"), body, Content_Type=type)).refused(status)
    assert await gms.all(id) == {"a": "kept"}
    assert areas(gms.running) - before == {f"{{genesys::{id}}}f:"}
    await gms.ask("DELETE", at(id))


async def test_texts_in_other_charsets_are_read(gms: Client) -> None:
    part = PART + b'; name="%b"\r\nContent-Type: text/plain; charset=%b\r\n\r\n%b\r\n'
    texts = {"ISO-8859-1": "é", "windows-1252": "€", "utf-16": "é日", "Shift_JIS": "日本", "UTF-8": "\U0001f600"}
    body = b"".join(part % (name.encode(), name.encode(), text.encode(name)) for name, text in texts.items())
    reply = await gms.ask("POST", at("60"), body + END[2:], Content_Type=MULTIPART)
    assert await gms.all(reply.json["id"]) == texts
    reply = await gms.ask("POST", at("60"), b"a=%E9", Content_Type=FORM + "; charset=iso-8859-1")
    assert await gms.all(reply.json["id"]) == {"a": "é"}


async def test_an_empty_request_creates_an_empty_area(gms: Client) -> None:
    reply = await gms.ask("POST", at("60"), None, Content_Type=FORM)
    assert await gms.all(reply.json["id"]) == {}
    (await gms.ask("POST", at("60"), None)).refused(415)


async def test_each_limit_is_exact_to_the_byte(serve: Callable[..., Running], http: ClientSession) -> None:
    running = serve(genesys_max_part_bytes=10_000, genesys_max_parts=5, genesys_max_request_bytes=40_000)
    gms = Client(http, running)
    id = await gms.create(*((f"k{n}", "x") for n in range(4)), ("file", ("a", "", b"x" * 10_000)))
    before = areas(running)
    over: list[tuple[tuple[str, str | File], ...]] = [
        (("file", ("a", "", b"x" * 10_001)),),
        (("text", "x" * 10_001),),
        tuple((f"k{n}", "x") for n in range(6)),
        tuple((f"k{n}", "x" * 9000) for n in range(5)),
    ]
    for fields in over:
        (await gms.post("60", fields=fields)).refused(413)
        (await gms.post(id, "60", fields=fields)).refused(413)
    (await gms.ask("POST", at("60"), b"a=" + b"x" * 10_001, Content_Type=FORM)).refused(413)
    (await gms.ask("POST", at("60"), b"&".join([b"a=1"] * 6), Content_Type=FORM)).refused(413)
    assert "keys" in (await gms.post(id, "60", fields=(("new", "1"),))).refused(413)
    small = await gms.create(*((f"k{n}", "x" * 9000) for n in range(4)))
    assert "bytes" in (await gms.post(small, "60", fields=(("new", "x" * 4001),))).refused(413)
    await gms.ask("DELETE", at(small))
    assert areas(running) == before


async def test_a_body_over_the_limit_is_refused_before_it_is_sent(gms: Client) -> None:
    import asyncio

    host, port = gms.running.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"POST {at('60')} HTTP/1.1\r\nHost: x\r\nContent-Type: {MULTIPART}\r\nContent-Length: 104857601\r\n"
    writer.write(f"{head}Expect: 100-continue\r\n\r\n".encode())
    assert (await reader.readline()).startswith(b"HTTP/1.1 413 ")
    writer.close()
