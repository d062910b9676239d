"""Auravant storage: values and files of extensions, stored at a user, a field or a farm, whose readers may read them.

| vendor's word | ours | notes |
| --- | --- | --- |
| scope | namespace | users, fields, farms |
| resource: a user, a field, a farm | collection | declared in the access document, with the permissions of its users |
| key | record id | prefixed with the extension and its environment: `CLIENT_ID:ENVIRONMENT:KEY` |
| file | record with files | under the same id; values and files are two namespaces |
| extension | a claim of the token | its data is separate; its environments are production and dev |

Modules: `handlers` and `sharing` have the routes of values, `files` and `transfers` those of files. `parameters` and
`file_parameters` read requests; `answers`, `listing` and `refusals` render answers; `public` defines public keys.
`description` and `file_description` describe the routes for the OpenAPI document, with the types of `shapes`. `access`
is the section of the access document, `roles` the vendor's table of permissions, `grants` stores what they grant.
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
