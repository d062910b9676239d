"""Tests a page that stores a form in a Genesys storage area, as the vendor's sample page does."""

from aiohttp import ClientSession

from tests.clients.calls import Answer, PublicClient, Published
from tests.running import Running

BOUNDARY = "----WebKitFormBoundaryPu8S1YopPtZq8Z54"
PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(256))


class Page(PublicClient):
    """The requests of the vendor's page: forms as a browser writes them."""

    published = Published(
        name="GMS storage test page",
        source="the requests that the vendor's page prints of storagetest.html",
        dialect="genesys",
        headers={
            "Accept": "*/*",
            "Accept-Charset": "ISO-8859-1,utf-8;q=0.7,*;q=0.3",
            "Accept-Encoding": "gzip,deflate,sdch",
            "Accept-Language": "en-US,en;q=0.8",
            "User-Agent": "Mozilla/5.0 (Windows NT 6.1; WOW64) AppleWebKit/535.7 Chrome/16.0.912.77",
        },
        calls={
            "create": "POST /genesys/1/storage/{ttl}",
            "create with a custom id": "POST /genesys/1/storage/custom/{customId}/{ttl}",
            "update": "POST /genesys/1/storage/{id}/{ttl}",
            "query all keys": "GET /genesys/1/storage/{id}",
            "query one key": "GET /genesys/1/storage/{id}/{key}",
            "query a binary key": "GET /genesys/1/storage/binary/{id}/{key}",
            "delete": "DELETE /genesys/1/storage/{id}",
        },
    )

    async def submit(self, call: str, *names: str, fields: dict[str, str], picture: bytes | None = None) -> Answer:
        """Send a form as a browser does."""
        coded = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
        return await self.call(call, *names, body=form(fields, picture), headers=coded)


def form(fields: dict[str, str], picture: bytes | None) -> bytes:
    """The body of a form."""
    parts = [f'Content-Disposition: form-data; name="{name}"\r\n\r\n{text}'.encode() for name, text in fields.items()]
    if picture is not None:
        head = 'Content-Disposition: form-data; name="FileKey"; filename="MyPic.png"\r\nContent-Type: image/png\r\n\r\n'
        parts.append(head.encode() + picture)
    body = b"".join(b"--" + BOUNDARY.encode() + b"\r\n" + part + b"\r\n" for part in parts)
    return body + b"--" + BOUNDARY.encode() + b"--\r\n"


async def test_a_page_stores_a_form_and_reads_it_back(service: Running, http: ClientSession) -> None:
    page = Page(http, service.url, Origin=service.url)
    created = await page.submit("create", "3600", fields={"Key1": "Value1", "Key2": "é", "_dc": "1"}, picture=PICTURE)
    assert (created.status, created.headers["Content-Type"]) == (200, "application/json")
    id = created.json["id"]

    everything = (await page.call("query all keys", id)).json
    url = f"{service.url}/genesys/1/storage/binary/{id}/FileKey"
    assert everything == {"Key1": "Value1", "Key2": "é", "FileKey": url}
    async with http.get(url) as answer:
        assert (answer.headers["Content-Type"], await answer.read()) == ("image/png", PICTURE)

    updated = await page.submit("update", id, "600", fields={"Key1": "Value6", "Key3": "Value8"})
    assert (updated.status, updated.body) == (200, b"{}")
    assert (await page.call("query one key", id, "Key1")).body == b"Value6"
    assert (await page.call("query one key", id, "Key2")).body.decode() == "é"
    assert (await page.call("query a binary key", id, "FileKey")).body == PICTURE

    assert (await page.call("delete", id)).body == b"{}"
    assert (await page.call("query all keys", id)).status == 404


async def test_a_page_of_a_customer_finds_the_same_area_again(service: Running, http: ClientSession) -> None:
    page = Page(http, service.url, gms_user="customer-4711")
    coded = {"Content-Type": "application/x-www-form-urlencoded"}
    created = await page.call("create with a custom id", "order-17", "60", body=b"Key1=two+words%21", headers=coded)
    assert created.json == {"id": "order-17"}
    assert (await page.call("query all keys", "order-17")).json == {"Key1": "two words!"}
    other = Page(http, service.url, gms_user="customer-4712")
    assert (await other.call("query all keys", "order-17")).status == 404
    assert (await page.call("delete", "order-17")).status == 200
