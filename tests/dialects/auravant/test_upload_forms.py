"""Tests the form that uploads a file: order and case of its fields, size and MD5 of the file, and malformed forms."""

from urllib.parse import urlencode

from tests.dialects.auravant.client import Reply, World
from tests.dialects.auravant.files import FILES, MULTIPART, chunks, digest, form
from tests.dialects.auravant.test_files import opened

END = f"--{MULTIPART.partition('=')[2]}--\r\n".encode()


async def test_a_file_that_differs_from_the_announced_one_is_refused(world: World) -> None:
    files, field = await opened(world)
    data = await files.announced("fields", field, "k", b"x" * 5000)
    for content in (b"x" * 4999, b"y" * 5000, b"x" * 7000, b"", b"x" * 300_000):
        reply = await files.upload(data, content, Content_MD5=digest(b"x" * 5000))
        assert (reply.status, reply.code) == (400, -4)
        assert "announced" in reply.json["msg"]
    assert await files.content("fields", field, "k") is None
    assert chunks(files.running, world.mark) == []
    assert (await files.upload(data, b"x" * 5000)).status == 204


async def test_a_file_may_be_smaller_than_announced_and_not_larger_than_its_rounded_size(world: World) -> None:
    """A KB is 1000 bytes for some clients and 1024 for others, and they round up or down."""
    files, field = await opened(world)
    for kilobytes in (0.0, 3.0):
        data = await files.announced("fields", field, "k", b"x" * 5000, overwrite=True, file_size_kb=kilobytes)
        reply = await files.upload(data, b"x" * 5000)
        assert (reply.status, reply.code) == (400, -4)
    for announced in (4, 4.88, 5, 5.0, 10.0, 5000 / 1024, "4.9"):
        data = await files.announced("fields", field, "k", b"x" * 5000, overwrite=True, file_size_kb=announced)
        assert (await files.upload(data, b"x" * 5000)).status == 204, announced


async def test_fields_may_have_any_order_and_case_and_the_md5_may_follow_the_file(world: World) -> None:
    files, field = await opened(world)
    md5 = digest(b"bytes")

    async def post(before: dict[str, str], behind: dict[str, str]) -> Reply:
        body = form(before, b"bytes").removesuffix(END) + form(behind, None)
        return await files.client.ask("POST", f"{FILES}/upload", body, Content_Type=MULTIPART)

    async def fields() -> dict[str, str]:
        fields: dict[str, str] = (await files.announced("fields", field, "k", overwrite=True))["fields"]
        return fields

    for before, behind in (
        (dict(reversed((await fields()).items())) | {"content-md5": md5}, {}),
        ({"CONTENT-MD5": md5} | {name.title(): text for name, text in (await fields()).items()}, {}),
        (await fields(), {"Content-MD5": md5}),
        (await fields(), {"content-md5": md5}),
    ):
        fresh = await fields()
        again = {name: fresh.get(name.lower(), text) for name, text in before.items()}
        assert (await post(again, behind)).status == 204
        assert await files.content("fields", field, "k") == b"bytes"
    fresh = await fields()
    for behind, status, said in (
        ({}, 403, "the field `Content-MD5` is missing"),
        ({"Content-MD5": digest(b"other")}, 403, "is not the MD5 that was announced"),
        ({"Content-MD5": md5, "content-md5": md5}, 400, "'content-md5' comes after the file"),
        ({"acl": "x", "Content-MD5": md5}, 400, "'acl' comes after the file"),
    ):
        reply = await post(fresh, behind)
        assert (reply.status, said in reply.json["msg"]) == (status, True), reply.body
    for name in fresh:
        rest = {each: text for each, text in fresh.items() if each != name}
        reply = await post(rest, {name: fresh[name], "Content-MD5": md5})
        assert (reply.status, reply.code) == (403, 3)
        said = f"the form has no field {name!r} before the file: all signed fields must come first"
        assert reply.json["msg"] == said
    assert await files.content("fields", field, "k") is None
    assert (await post(fresh, {"Content-MD5": md5})).status == 204


async def test_malformed_forms_store_nothing(world: World) -> None:
    files, field = await opened(world)
    data = await files.announced("fields", field, "k")
    fields = {**data["fields"], "Content-MD5": digest(b"bytes")}
    whole = form(fields, b"bytes")
    late_field = whole[: whole.rindex(b"--" + MULTIPART.partition("=")[2].encode())] + form({"z": "1"}, None)
    bodies = {
        "no file": form(fields, None),
        "cut off": whole[:-20],
        "cut off in the file": whole[:-60],
        "nothing": b"",
        "a field behind the file": late_field,
        "a field twice": form({"key": "x"}, None)[:-20] + whole,
    }
    for name, body in bodies.items():
        reply = await files.client.ask("POST", f"{FILES}/upload", body, Content_Type=MULTIPART)
        assert (reply.status, reply.code) in ((400, -4), (403, 3)), name
    reply = await files.client.ask("POST", f"{FILES}/upload", urlencode(fields).encode())
    assert (reply.status, reply.code) == (415, -4)
    large = await files.post({**fields, "z": "x" * 20_000}, b"bytes")
    assert (large.status, large.code) == (413, -4)
    assert await files.content("fields", field, "k") is None
    assert (await files.upload(data)).status == 204
