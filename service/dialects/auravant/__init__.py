"""Auravant storage: values of extensions, each kept at a user, a field or a farm, which also says who may read it.

| vendor's word | ours | notes |
| --- | --- | --- |
| scope | namespace | users, fields, farms |
| resource: a user, a field, a farm | collection | declared by the access document, with who may do what there |
| key | record id | behind the extension and its environment: `CLIENT_ID:ENVIRONMENT:KEY` |
| extension | a claim of the token | its data is its own; its environments are production and dev |

`handlers` and `sharing` are the endpoints, `direct` their short way; `parameters` is what a request says, `answers`
and `refusals` what it is told, `description` all of it for the OpenAPI document; `access` is the section of the access
document, `roles` the vendor's table of who may do what, and `grants` what follows from the two.
"""

from service.dialect import Dialect
from service.dialects.auravant.access import Access
from service.dialects.auravant.answers import refuse
from service.dialects.auravant.description import API
from service.dialects.auravant.grants import follow
from service.dialects.auravant.handlers import routes
from service.dialects.auravant.parameters import credential
from service.dialects.auravant.roles import NAME
from service.dialects.auravant.sharing import routes as sharing

routes += sharing

DIALECT = Dialect(
    name=NAME,
    docs="https://developers.auravant.com/en/docs/apis/reference/api_ref_storage",
    prefixes=("/api/mktplace/", "/publicvalues/", "/publicfiles/"),
    routes=routes,
    credential=credential,
    refuse=refuse,
    access=Access,
    api=API,
    follow=follow,
)
