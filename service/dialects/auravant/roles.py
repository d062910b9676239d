"""The vendor's table of permissions: roles, and the verbs that they grant (storage/access/grants.py).

The table is used when an access document is applied, so a change in it takes effect with the next apply.
"""

from service.storage.access.grants import DELETE, READ, WRITE

NAME = "auravant"

ANYONE = "*"  # the subject that reads public values of users; no user can have this id

USERS, FIELDS, FARMS = "users", "fields", "farms"

ALL = READ + WRITE + DELETE
_PLOT = {"owner": ALL, "administration": ALL, "edit": READ + WRITE, "add": READ + WRITE, "read": READ}

ROLES = {
    USERS: {
        "self": ALL,
        "admin": ALL,  # of a space that the user belongs to
        "supervisor edit": ALL,  # of a group that the user belongs to
        "supervisor read": READ,
        "anyone": READ,  # used by the routes of public values only
    },
    FIELDS: _PLOT,
    FARMS: _PLOT,
}
