"""Avaamo user storage: variables of an agent's users, listed newest first through filters.

| vendor's word | ours | notes |
| --- | --- | --- |
| agent, bot | collection | declared in the access document |
| user_layer_id | a user's name | mapped to an integer, the user's id; see service/storage/variables/users.py |
| storage variable | variable | of a user, or global; see service/storage/variables/variables.py |
| view, edit | verbs | granted to a token, for each agent |

Modules: `handlers` has the routes, `parameters` reads requests, `answers` renders answers with the types of `shapes`,
`description` describes the routes for the OpenAPI document, `access` is the section of the access document, `grants`
stores what it grants.
"""

from service.api.dialect import Dialect
from service.dialects.avaamo.access import Access
from service.dialects.avaamo.answers import refuse
from service.dialects.avaamo.description import API
from service.dialects.avaamo.grants import AGENTS, apply_grants
from service.dialects.avaamo.handlers import routes
from service.dialects.avaamo.parameters import NAME, NAMESPACE, credential

DIALECT = Dialect(
    name=NAME,
    docs="https://docs.avaamo.com/user-guide/ref/avaamo-platform-api-documentation/user-storage-api.md",
    prefixes=("/dashboard/", "/bots_api/v1/"),
    routes=routes,
    api=API,
    credential=credential,
    refuse=refuse,
    access=Access,
    apply_grants=apply_grants,
    readers={NAMESPACE: AGENTS},
    vary="Access-Token",
    challenge="Access-Token",
)
