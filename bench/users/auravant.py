"""A client of the Auravant dialect: an extension that keeps its state at its user.

The weights are shares of 100. The vendor publishes nothing about its load. Extensions are small applications in a
farm's dashboard. They read their data when they are opened, and write changes of their user. So the shares are those of
the other document store: 80 reads, 20 writes.

| of 100 | request | why |
| --- | --- | --- |
| 62 | GET, one key | an application opens one of its screens |
| 12 | GET of 20 keys | it reads all of its data at the start |
| 6 | publicvalues | it shows values that others share |
| 9 | PUT with overwrite | the state is replaced |
| 5 | PATCH | the same, for a key that exists |
| 3 | PATCH with append | a log, a list of events |
| 3 | PUT of a new key, and DELETE | events are processed, so the number of values does not grow |
"""

from itertools import count
from typing import Any

from locust import task

from bench.dialect_user import DialectUser, document_of, key_of
from bench.options import credentials, declared

STORAGE = "/api/mktplace/storage/users?operation="
PUBLIC = "public_ext_load"
NUMBERS = count()


def name_of(key: str) -> str:
    """Return the name of a document in the form that the dialect allows."""
    return key.replace("-", "_")


class AuravantUser(DialectUser):
    def on_start(self) -> None:
        known = {
            each["token"]: str(each["user"])
            for each in declared(self.options, "auravant").get("tokens", [])
            if "token" in each
        }
        tokens = credentials(self.options) or [*known]
        if not tokens:
            raise ValueError("no token: give --access with a document that has one, or --credentials as well")
        self._id = known.get(tokens[0], "unknown").encode()
        self._headers = {"Authorization": f"Bearer {tokens[0]}", "Content-Type": "application/json"}
        super().on_start()

    def fill(self) -> None:
        for number in range(self.options.documents):
            self._write("PUT", key_of(number), "PUT, to fill", b',"overwrite":true')
        self._send("PUT", "PUT, to fill", b'"key":"%b","value":{"a":1},"overwrite":true' % PUBLIC.encode())
        self._send("PUT", "PUT, to fill", b'"key":"log","value":[],"overwrite":true')

    def _ask(self, method: str, path: str, name: str, body: bytes = b"") -> Any:
        """Send one request and check its answer: `with self._ask(...) as answer`."""
        data: Any = body or None  # the annotation of the parameter lacks bytes, which are accepted
        return self.client.request(method, path, name=name, data=data, headers=self._headers, catch_response=True)

    def _send(self, operation: str, name: str, members: bytes) -> None:
        """Send one operation on the user and check its code."""
        body = b'{"id":"%b",%b}' % (self._id, members)
        with self._ask("POST", STORAGE + operation, name, body) as answer:
            if answer.status_code != 200 or answer.json()["code"] != 0:
                answer.failure(f"status {answer.status_code}, or a code that is not 0")

    def _write(self, operation: str, key: str, name: str, more: bytes = b"") -> None:
        self._send(operation, name, b'"key":"%b","value":%b%b' % (name_of(key).encode(), self.body(key), more))

    @task(62)
    def get(self) -> None:
        key = self.key()
        name = name_of(key).encode()
        with self._ask("POST", f"{STORAGE}GET", "storage GET", b'{"keys":["%b"]}' % name) as answer:
            before = b'{"code":0,"res":"ok","info":{"code":0,"res":"ok","objects":{"%b":' % name
            if answer.status_code != 200:
                answer.failure(f"status {answer.status_code}")
            elif not document_of(key, answer.content.removeprefix(before)):
                answer.failure("the value is another one")

    @task(12)
    def get_many(self) -> None:
        names = {name_of(self.key()) for _ in range(20)}
        body = b'{"keys":["%b"]}' % '","'.join(names).encode()
        with self._ask("POST", f"{STORAGE}GET", "storage GET of 20", body) as answer:
            if answer.status_code != 200 or set(answer.json()["info"].get("objects", ())) != names:
                answer.failure(f"status {answer.status_code}, or other keys")

    @task(6)
    def shared(self) -> None:
        with self._ask("GET", f"/publicvalues/user?key={PUBLIC.removeprefix('public_')}", "publicvalues") as answer:
            if answer.status_code != 200 or not answer.json():
                answer.failure(f"status {answer.status_code}, or nothing")

    @task(9)
    def put(self) -> None:
        self._write("PUT", self.key(), "storage PUT", b',"overwrite":true')

    @task(5)
    def patch(self) -> None:
        self._write("PATCH", self.key(), "storage PATCH")

    @task(3)
    def append(self) -> None:
        if next(NUMBERS) % 100 == 99:  # a new log is begun for each hundredth number
            self._send("PATCH", "storage PATCH", b'"key":"log","value":[]')
        self._send("PATCH", "storage append", b'"key":"log","value":{"event":1},"append":true')

    @task(3)
    def create_and_delete(self) -> None:
        name = b"created_%d_%d" % (id(self), next(NUMBERS))
        self._send("PUT", "storage PUT, new", b'"key":"%b","value":1,"overwrite":true' % name)
        self._send("DELETE", "storage DELETE", b'"keys":["%b"]' % name)
