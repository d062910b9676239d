"""Mirror a category into a file: python mirror.py URL KEY CATEGORY FILE"""

import json
import sys
import time
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

url, api_key, category, file = sys.argv[1:]
documents: dict[str, Any] = {}
cursor = ""


def ask(path: str, headers: dict[str, str] | None = None) -> Any:
    sent = {"Authorization": f"Bearer {api_key}", **(headers or {})}
    return urlopen(Request(f"{url}/api/v1/storage/{path}", headers=sent), timeout=40)


def copy() -> str:
    """The cursor comes first. The pages come last to first: a document never moves to a later page."""
    now: str = json.load(ask(f"changes/{category}?since=now"))["next"]
    documents.clear()
    for page in range(int(ask(f"json/{category}?limit=100").headers["X-Total-Pages"]), 0, -1):
        found = json.load(ask(f"json/{category}?limit=100&page={page}"))
        documents.update({item["key"]: item["value"] for item in found})
    return now


def apply(change: dict[str, Any]) -> None:
    documents.pop(change["key"], None)
    if change["op"] not in ("delete", "expire"):
        documents[change["key"]] = change["value"]


while True:
    try:
        cursor = cursor or copy()
        fields: dict[str, str] = {}
        for line in ask(f"changes/{category}", {"Accept": "text/event-stream", "Last-Event-ID": cursor}):
            name, _, value = line.decode().rstrip("\n").partition(": ")
            fields[name] = value
            if not name and fields.get("event") == "change":
                apply(json.loads(fields["data"]))
            if not name:
                cursor = fields["id"]
                Path(file).write_text(json.dumps(documents, sort_keys=True))
    except HTTPError as error:
        cursor = "" if error.code == 410 else cursor  # changes after it are not kept any more: begin anew
        time.sleep(1)
    except (OSError, HTTPException):
        time.sleep(1)
