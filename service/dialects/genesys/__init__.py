"""Genesys Mobile Services Storage API: texts and files under keys, in areas that go away by themselves.

| vendor's word | ours | notes |
| --- | --- | --- |
| `gms_user` | namespace | of areas with an id of the client's own; the others are in the namespace "" |
| storage area | collection | with one record with files, see service/storage/files/areas.py |
| key | key of the area | |

`handlers` are the endpoints; `parameters` is what a request says, `control` which files may come in, `answers` what a
request is told, `access` who may, `description` what of it is in the OpenAPI document.
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
    cache_control="no-cache, no-store",  # areas are short-lived, and somebody's own
    vary="Authorization, gms_user",
    others=(("Pragma", "no-cache"),),
)
