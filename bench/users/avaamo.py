"""A client of the Avaamo dialect.

The weights are shares of 100. Agents set a variable at many turns of a conversation, and read the variables of its user
at some. Dashboards and reports list an agent with filters, which is rare. No figures are published, so the shares are
estimates.

| of 100 | request | why |
| --- | --- | --- |
| 70 | POST set_storage | a turn of a conversation |
| 12 | GET, user | the variables of one user |
| 8 | GET, key and value | all users with one plan |
| 5 | GET, first page | a dashboard |
| 5 | GET, dates, page 2 | a report |
"""

from random import randrange
from typing import Any
from urllib.parse import urlencode

from locust import task

from bench.dialect_user import DialectUser, key_of
from bench.options import credentials, declared

KEYS = 10  # keys of a user
PLANS = 7  # number of values that many users have


class AvaamoUser(DialectUser):
    def on_start(self) -> None:
        tokens = [each for each in declared(self.options, "avaamo").get("tokens", []) if "token" in each]
        agents = [(each["token"], id) for each in tokens for id, how in each.get("agents", {}).items() if how == "edit"]
        named = credentials(self.options)
        if not agents:
            raise ValueError("no access token: give --access with a document that has one with edit on an agent")
        self._token, self._agent = (named[0] if named else agents[0][0]), agents[0][1]
        super().on_start()

    def fill(self) -> None:
        for number in range(self.options.documents):
            self._set(number, "set, to fill")

    def _ask(self, method: str, path: str, name: str, body: dict[str, Any] | None = None) -> Any:
        headers = {"Access-Token": self._token}
        return self.client.request(method, path, name=name, json=body, headers=headers, catch_response=True)

    def _set(self, number: int, name: str = "set_storage") -> None:
        body = {"key": f"variable_{number % KEYS}", "value": f"plan {randrange(PLANS)}", "bot_id": int(self._agent)}
        path = f"/bots_api/v1/users/{key_of(number // KEYS)}/set_storage.json"
        with self._ask("POST", path, name, body) as answer:
            if answer.status_code != 200 or answer.json() != {"status": 201}:
                answer.failure(f"status {answer.status_code}")

    def _list(self, name: str, **query: object) -> list[Any]:
        """Return the rows of a list, after checking that they match the filter."""
        path = f"/dashboard/bots/{self._agent}/storages.json?{urlencode(query)}"
        with self._ask("GET", path, name) as answer:
            if answer.status_code != 200:
                answer.failure(f"status {answer.status_code}")
                return []
            rows: list[Any] = answer.json()["storage"]
            wanted = [(field, str(query[field])) for field in ("key", "value") if field in query]
            if any(row[field] != value for row in rows for field, value in wanted):
                answer.failure("a row that the filter does not select")
            return rows

    @task(70)
    def set(self) -> None:
        self._set(randrange(self.options.documents))

    @task(12)
    def of_user(self) -> None:
        for row in self._list("list, one", per_page=1, page=randrange(self.options.documents) + 1)[:1]:
            if "user" in row:
                self._list("list, user", user_id=row["user"]["id"])

    @task(8)
    def of_value(self) -> None:
        self._list("list, key and value", key=f"variable_{randrange(KEYS)}", value=f"plan {randrange(PLANS)}")

    @task(5)
    def first_page(self) -> None:
        self._list("list, first page")

    @task(5)
    def of_dates(self) -> None:
        self._list("list, dates", start_date="01/01/2020", end_date="31/12/2099", page=2)
