"""Refusals that only this vendor has, each with the vendor's code."""

from typing import ClassVar

from service.storage.errors import Invalid


class Coded(Invalid):
    """A refusal with a code of the vendor."""

    code: ClassVar[int]
    status = 200


class Missing(Coded):
    """A parameter that the operation needs is missing."""

    code = 1


class BadKey(Coded):
    """A key is not 1 to 200 letters, digits and underscores."""

    code = 2


class BadVersion(Coded):
    """The extension has no such version."""

    code = 4


class Oversized(Coded):
    """The file is larger than a file may be."""

    code = 7


class NotPermitted(Coded):
    """The URL does not permit this: its signature, a field or its time is wrong, or a permission was taken back."""

    code, status = 3, 403


class Spent(Coded):
    """The file was uploaded already, or its key was replaced or deleted since."""

    code, status = 5, 409


class NoFile(Coded):
    """There is no such file any more."""

    code, status = 5, 404


class NotClaimed(Coded):
    """The extension may not use the storage."""

    code, status = -1, 403


class Unreadable(Coded):
    """The caller may read none of the fields or farms."""

    code, status = 3, 401
