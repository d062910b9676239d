"""Auravant storage: values and files of extensions, kept at a user, a field or a farm, which says who may read them.

| vendor's word | ours | notes |
| --- | --- | --- |
| scope | namespace | users, fields, farms |
| resource: a user, a field, a farm | collection | declared by the access document, with who may do what there |
| key | record id | behind the extension and its environment: `CLIENT_ID:ENVIRONMENT:KEY` |
| file | record with files | under the same id; values and files are two namespaces |
| extension | a claim of the token | its data is its own; its environments are production and dev |

`handlers` and `sharing` are the endpoints of values, `files` and `transfers` those of files;
`parameters` and `filing` are what a request says, `answers`, `listing` and `refusals` what it is told; `description`
and `file_description` have all of it for the OpenAPI document. `access` is the section of the access document, `roles`
the vendor's table of who may do what, and `grants` what follows from the two.
"""

from functools import partial

from service.api.dialect import Dialect, bearer
from service.dialects.auravant.access import EXTENSION, Access
from service.dialects.auravant.answers import refuse
from service.dialects.auravant.description import API
from service.dialects.auravant.files import routes as files
from service.dialects.auravant.grants import apply_grants, readable
from service.dialects.auravant.handlers import routes
from service.dialects.auravant.roles import FARMS, FIELDS, NAME
from service.dialects.auravant.sharing import routes as sharing
from service.dialects.auravant.transfers import routes as transfers

routes += [*sharing, *files, *transfers]

DIALECT = Dialect(
    name=NAME,
    docs="https://developers.auravant.com/en/docs/apis/reference/api_ref_storage",
    prefixes=("/api/mktplace/", "/publicvalues/", "/publicfiles/"),
    routes=routes,
    api=API,
    credential=partial(bearer, needed="a token is needed: Authorization: Bearer TOKEN"),
    refuse=refuse,
    access=Access,
    apply_grants=apply_grants,
    signs=True,
    depends=lambda caller: (EXTENSION, caller.claims["extension"]),
    readers={scope: readable(scope) for scope in (FIELDS, FARMS)},
)
