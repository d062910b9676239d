"""Ainoflow JSON storage: schema-free documents in categories.

| vendor's word | ours | notes |
| --- | --- | --- |
| project | namespace | several API keys may belong to one |
| category | collection | created by its first document |
| key | record id | 32 hex digits if the client sends none |

Modules: `handlers` has the vendor's routes, `changes` and `history` those of the journal, `batches` that of
batches (with `batch_shapes` and `batch_description`), `feed` follows the journal live,
`parameters` and `cursors` read requests, `answers` renders answers with the types of `shapes`, `description` and
`journal_description` describe the routes for the OpenAPI document, `access` is the section of the access document.
"""

from functools import partial

from service.api.dialect import Dialect, Routes, bearer
from service.dialects.ainoflow import batches, changes, handlers, history
from service.dialects.ainoflow.access import Access
from service.dialects.ainoflow.answers import refuse
from service.dialects.ainoflow.description import API
from service.dialects.ainoflow.parameters import NAME, NEEDED

DIALECT = Dialect(
    name=NAME,
    docs="https://www.ainoflow.io/docs/api/storage",
    prefixes=("/api/v1/",),
    routes=Routes([*handlers.routes, *batches.routes, *changes.routes, *history.routes]),
    api=API,
    credential=partial(bearer, needed=NEEDED),
    refuse=refuse,
    access=Access,
    depends=lambda caller: ("project", caller.claims["project"]),
    private=frozenset({"token", "named", "project"}),
)
