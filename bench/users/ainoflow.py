"""Clients of the Ainoflow dialect: one that reads and writes, and one that follows what the others write.

The weights are shares of 100. Applications read documents far more often than they write them: YCSB's workload B
("photo tagging") has 95 % reads, and its workload A ("session store") has 50 %. The vendor's customers are automations,
which keep their state there and write more often than in workload B. So there are 80 reads and 20 writes.

| of 100 | request | why |
| --- | --- | --- |
| 66 | GET document | the point of the store |
| 6 | GET with If-None-Match | clients that cache; mostly a 304 |
| 3 | GET meta | looks at version or size first |
| 5 | GET a page of 20 | screens and batch jobs |
| 7 | PUT | the state is replaced |
| 1 | POST of a batch | several documents change together |
| 6 | PATCH | one member of it changes |
| 3 | POST, key made by the service | events, inboxes |
| 3 | DELETE of one of these | events are processed, so the collection does not grow |

One more user follows the journal of their category, if their project has one: it polls, and fails if a version of a
document is missing, comes twice, or comes in the wrong order.
"""

from hashlib import md5
from typing import Any

from locust import task
from locust.exception import StopUser

from bench.dialect_user import DialectUser, document_of, key_of
from bench.options import credentials, declared

CATEGORY = "/api/v1/storage/json/load"
BATCH = "/api/v1/storage/batch/load"
CHANGES = "/api/v1/storage/changes/load"
POLL_SECONDS = 1
DOCUMENT = CATEGORY + "/{key}"


class Keyed(DialectUser):
    """A user with the first API key of the access document."""

    abstract = True

    def on_start(self) -> None:
        keys = credentials(self.options) or [
            each["key"] for each in declared(self.options, "ainoflow").get("keys", []) if "key" in each
        ]
        if not keys:
            raise ValueError("no API key: give --credentials, or --access with a document that has one")
        self._headers = {"Authorization": f"Bearer {keys[0]}", "Content-Type": "application/json"}
        super().on_start()


class AinoflowUser(Keyed):
    def on_start(self) -> None:
        self._etags: dict[str, str] = {}
        self._created: list[str] = []
        super().on_start()

    def fill(self) -> None:
        for number in range(self.options.documents):
            self._put(key_of(number), "PUT, to fill")

    def _ask(self, method: str, path: str, name: str, body: bytes = b"", etag: str = "") -> Any:
        """Send one request and check its answer: `with self._ask(...) as answer`."""
        headers = self._headers | {"If-None-Match": etag} if etag else self._headers
        data: Any = body or None  # the annotation of the parameter lacks bytes, which are accepted
        return self.client.request(method, path, name=name, data=data, headers=headers, catch_response=True)

    def _put(self, key: str, name: str = "PUT") -> None:
        body = self.body(key)
        with self._ask("PUT", f"{CATEGORY}/{key}", name, body) as answer:
            if answer.status_code != 200:
                answer.failure(f"status {answer.status_code}")
            elif answer.json()["etag"] != md5(body, usedforsecurity=False).hexdigest():
                answer.failure("the etag is of other bytes")

    @task(66)
    def get(self) -> None:
        key = self.key()
        with self._ask("GET", f"{CATEGORY}/{key}", "GET") as answer:
            if answer.status_code != 200:
                answer.failure(f"status {answer.status_code}")
            elif not document_of(key, answer.content):
                answer.failure("the body is another document")
            else:
                self._etags = {key: answer.headers["ETag"]}  # the last etag, for a conditional GET

    @task(6)
    def get_again(self) -> None:
        for key, etag in self._etags.items():
            with self._ask("GET", f"{CATEGORY}/{key}", "GET, cached", etag=etag) as answer:
                if answer.status_code not in (200, 304):
                    answer.failure(f"status {answer.status_code}")

    @task(3)
    def meta(self) -> None:
        key = self.key()
        with self._ask("GET", f"{CATEGORY}/{key}/meta", "GET meta") as answer:
            if answer.status_code != 200 or answer.json()["key"] != key:
                answer.failure(f"status {answer.status_code}")

    @task(5)
    def page(self) -> None:
        with self._ask("GET", f"{CATEGORY}?limit=20", "GET page of 20") as answer:
            if answer.status_code != 200 or len(answer.json()) != min(20, self.options.documents):
                answer.failure(f"status {answer.status_code}, or a short page")

    @task(7)
    def put(self) -> None:
        self._put(self.key())

    @task(1)
    def batch(self) -> None:
        """Put two documents and change one of them, in one step."""
        keys = {self.key(), key_of(1)}
        puts = ",".join(f'{{"op":"put","key":"{key}","value":{self.body(key).decode()}}}' for key in keys)
        patch = f'{{"op":"patch","key":"{key_of(1)}","value":{{"count":11}}}}'
        body = f'{{"operations":[{puts},{patch}]}}'.encode()
        with self._ask("POST", BATCH, "POST batch", body) as answer:
            if answer.status_code != 200 or len(answer.json()["results"]) != len(keys) + 1:
                answer.failure(f"status {answer.status_code}")

    @task(6)
    def patch(self) -> None:
        with self._ask("PATCH", f"{CATEGORY}/{self.key()}", "PATCH", b'{"count":11}') as answer:
            if answer.status_code != 200:
                answer.failure(f"status {answer.status_code}")

    @task(3)
    def create(self) -> None:
        with self._ask("POST", CATEGORY, "POST", self.body("created")) as answer:
            if answer.status_code != 201:
                answer.failure(f"status {answer.status_code}")
            else:
                self._created.append(answer.json()["key"])

    @task(3)
    def delete(self) -> None:
        if not self._created:
            return self.create()
        with self._ask("DELETE", f"{CATEGORY}/{self._created.pop()}", "DELETE") as answer:
            if answer.status_code != 200:
                answer.failure(f"status {answer.status_code}")
        return None


class AinoflowFollower(Keyed):
    fixed_count = 1

    def on_start(self) -> None:
        self._cursor = "now"
        self._versions: dict[str, int] = {}  # of documents, by the changes so far
        super().on_start()

    @task
    def follow(self) -> None:
        wait = 0 if self._cursor == "now" else POLL_SECONDS
        path = f"{CHANGES}?since={self._cursor}&wait={wait}"
        with self.client.get(path, name="GET changes", headers=self._headers, catch_response=True) as answer:
            if answer.status_code == 404:
                answer.success()
                raise StopUser  # the project keeps no journal
            if answer.status_code != 200:
                answer.failure(f"status {answer.status_code}")
                return
            page = answer.json()
            if not all(map(self._follows, page["changes"])):
                answer.failure("a change is missing, doubled or out of order")
            self._cursor = page["next"]

    def _follows(self, change: dict[str, Any]) -> bool:
        """Note a change. Return True if it follows the last one of its document."""
        key, version, leaves = change["key"], change["version"], change["op"] in ("delete", "expire")
        last = self._versions.get(key)
        self._versions[key] = 0 if leaves else version
        return last is None or version == (last if leaves else last + 1)
