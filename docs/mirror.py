import json
import sys
import time
from http.client import HTTPException
from pathlib import Path
from urllib.request import build_opener

url, key, category, file = sys.argv[1:]  # python mirror.py URL KEY CATEGORY FILE: mirror a category into a file
feed = f"{url}/api/v1/storage/changes/{category}?since="
pages = f"{url}/api/v1/storage/json/{category}?aggregate=true&cursor="
(http := build_opener()).addheaders = [("Authorization", f"Bearer {key}")]
state = json.loads(Path(file).read_text()) if Path(file).exists() else {}
while True:
    try:
        state = state or {"page": "", "documents": {}, "cursor": json.load(http.open(f"{feed}now", timeout=60))["next"]}
        while state["page"] is not None:  # copy; what changes meanwhile comes again behind the cursor, and does no harm
            part = json.load(http.open(f"{pages}{state['page']}", timeout=60))
            state["documents"] |= {item["key"]: item["value"] for item in part["items"]}
            state["page"] = part["nextCursor"]
        Path(f"{file}.new").write_text(json.dumps(state))
        Path(f"{file}.new").replace(file)
        part = json.load(http.open(f"{feed}{state['cursor']}&wait=30", timeout=60))
        for change in part["changes"]:
            state["documents"].pop(change["key"], None)
            if change["op"] not in ("delete", "expire"):
                state["documents"][change["key"]] = change["value"]
        state["cursor"] = part["next"]
    except (OSError, ValueError, HTTPException) as error:
        state = {} if getattr(error, "code", 0) in (404, 410) else state  # the cursor is of no use any more: copy again
        time.sleep(1)
