"""Reads the server's URL and the credential from the arguments of a command line."""

import re
from collections.abc import Mapping

from service.settings import BadSetting


def base_url(flag: str, text: str) -> str:
    """Return a server's URL without a slash at its end. Raises BadSetting."""
    if not re.fullmatch(r"https?://[^/?#\s]+/?", text):
        raise BadSetting(f"{flag} must be a URL such as https://storage.example:8443, not {text!r}")
    return text.rstrip("/")


def token(name: str | None, environ: Mapping[str, str]) -> str | None:
    """Return the credential of the environment variable that --token-env names. Raises BadSetting if there is none."""
    if name is None:
        return None
    if not environ.get(name):
        raise BadSetting(f"--token-env: the environment variable {name} is not set")
    if not environ[name].isprintable():  # the value is a secret: no message may contain it
        raise BadSetting(f"--token-env: the environment variable {name} must have no line ends or control characters")
    return environ[name]
