"""A client of the Genesys dialect.

The weights are shares of 100. A storage area contains the data of one conversation with a customer: a few texts, and
sometimes a picture. It is created, read a few times by the agents who take the conversation over, changed, and expires.

| of 100 | request | why |
| --- | --- | --- |
| 30 | GET one key | an agent's screen, a script's step |
| 25 | GET all keys | the conversation is taken over |
| 10 | GET a file | somebody looks at its picture |
| 15 | POST, an area with texts | a conversation begins |
| 3 | POST, an area with a file | it begins with a picture |
| 12 | POST, an update | there is new information |
| 5 | DELETE | it has ended |
"""

from base64 import b64encode
from os import urandom
from random import choice
from typing import Any

from locust import task

from bench.dialect_user import DialectUser, key_of
from bench.options import declared

STORAGE = "/genesys/1/storage"
TTL = 600  # seconds
FILE_BYTES = 20_000
AREAS = 50  # open areas of one user; all users together have `documents`
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
BOUNDARY = "----bench"


class GenesysUser(DialectUser):
    def on_start(self) -> None:
        self._headers: dict[str, str] = {}
        for each in declared(self.options, "genesys").get("credentials", []):
            if "password" in each:
                shown = b64encode(f"{each['username']}:{each['password']}".encode()).decode()
                self._headers = {"Authorization": f"Basic {shown}"}
        self._areas: list[str] = []
        self._files: list[tuple[str, bytes]] = []
        super().on_start()

    def _ask(self, method: str, path: str, name: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Any:
        """Send one request and check its answer: `with self._ask(...) as answer`."""
        given = self._headers | (headers or {})
        data: Any = body or None  # the annotation of the parameter lacks bytes, which are accepted
        name = f"genesys: {name}"
        return self.client.request(method, STORAGE + path, name=name, data=data, headers=given, catch_response=True)

    def _area(self) -> str:
        if not self._areas:
            self.create()
        return choice(self._areas or ["none"])

    @task(15)
    def create(self) -> None:
        with self._ask("POST", f"/{TTL}", "POST", b"n=0&" + _texts(), FORM) as answer:
            if answer.status_code != 200:
                answer.failure(f"status {answer.status_code}")
            else:
                self._areas = [*self._areas[1 - AREAS :], answer.json()["id"]]

    @task(3)
    def create_with_file(self) -> None:
        content = urandom(FILE_BYTES)
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n\r\n'
        body = head.encode() + content + f"\r\n--{BOUNDARY}--\r\n".encode()
        headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
        with self._ask("POST", f"/{TTL}", "POST a file", body, headers) as answer:
            if answer.status_code != 200:
                answer.failure(f"status {answer.status_code}")
            else:
                self._files = [*self._files[-9:], (answer.json()["id"], content)]

    @task(30)
    def one(self) -> None:
        with self._ask("GET", f"/{self._area()}/n", "GET a key") as answer:
            if answer.status_code != 200 or not answer.content.isdigit():
                answer.failure(f"status {answer.status_code}, or another text")

    @task(25)
    def all(self) -> None:
        with self._ask("GET", f"/{self._area()}", "GET all keys") as answer:
            if answer.status_code != 200 or "n" not in answer.json():
                answer.failure(f"status {answer.status_code}, or a key is missing")

    @task(10)
    def file(self) -> None:
        if not self._files:
            return self.create_with_file()
        id, content = choice(self._files)
        with self._ask("GET", f"/binary/{id}/file", "GET a file") as answer:
            if answer.status_code != 200 or answer.content != content:
                answer.failure(f"status {answer.status_code}, or other bytes")
        return None

    @task(12)
    def update(self) -> None:
        with self._ask("POST", f"/{self._area()}/{TTL}", "POST an update", b"n=1&new=2", FORM) as answer:
            if answer.status_code != 200:
                answer.failure(f"status {answer.status_code}")

    @task(5)
    def delete(self) -> None:
        id = self._area()
        self._areas.remove(id)
        with self._ask("DELETE", f"/{id}", "DELETE") as answer:
            if answer.status_code != 200:
                answer.failure(f"status {answer.status_code}")


def _texts() -> bytes:
    return b"&".join(b"%b=%b" % (key_of(n).encode(), b"x" * 40) for n in range(5))
