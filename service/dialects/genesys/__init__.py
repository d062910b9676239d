"""Genesys Mobile Services Storage API: texts and files under keys, in areas that expire.

| vendor's word | ours | notes |
| --- | --- | --- |
| `gms_user` | namespace | of areas with a custom id; the others are in the namespace "" |
| storage area | collection | with one record with files, see service/storage/files/areas.py |
| key | key of the area | |

Modules: `handlers` has the routes, `parameters` reads requests, `control` checks the types of files, `answers` renders
answers, `description` describes the routes for the OpenAPI document, `access` is the section of the access document.
"""

from service.api.dialect import Dialect
from service.dialects.genesys.access import Access
from service.dialects.genesys.answers import refuse
from service.dialects.genesys.description import API
from service.dialects.genesys.handlers import routes
from service.dialects.genesys.parameters import NAME, credential

DIALECT = Dialect(
    name=NAME,
    docs="https://docs.genesys.com/Documentation/GMS/latest/API/StorageAPI",
    prefixes=("/genesys/",),
    merges_slashes=True,
    routes=routes,
    api=API,
    credential=credential,
    refuse=refuse,
    access=Access,
    challenge='Basic realm="genesys", charset="UTF-8"',
    cache_control="no-cache, no-store",  # areas are short-lived and private
    vary="Authorization, gms_user",
    more_headers=(("Pragma", "no-cache"),),
)
