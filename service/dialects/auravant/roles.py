"""Permissions as the vendor's page defines them: roles, and the verbs that they give (storage/access/grants.py).

This table is all that decides it. It is applied when access is granted, so a change of it counts from the next apply.
"""

from service.storage.access.grants import DELETE, READ, WRITE

NAME = "auravant"

ANYONE = "*"  # as whom values that are public at user level are read; no user can be called that

USERS, FIELDS, FARMS = "users", "fields", "farms"

ALL = READ + WRITE + DELETE
_PLOT = {"owner": ALL, "administration": ALL, "edit": READ + WRITE, "add": READ + WRITE, "read": READ}

ROLES = {
    USERS: {
        "self": ALL,
        "admin": ALL,  # of a space that the user belongs to
        "supervisor edit": ALL,  # of a group that the user belongs to
        "supervisor read": READ,
        "anyone": READ,  # asked for by name, for public keys alone
    },
    FIELDS: _PLOT,
    FARMS: _PLOT,
}
