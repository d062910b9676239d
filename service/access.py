"""Applies an access document (YAML or JSON): each dialect's section says what it declares, this writes it down.

What a document declares is added or replaced, what it leaves out stays, and applying it twice is applying it once. An
apply that stops half way leaves every entry either as it was or as declared; repeat it. Nothing is announced before
all is written, so an answered apply counts in every worker within a second.
"""

import secrets
from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec
import orjson
import yaml

from service.dialect import Dialect
from service.storage import passwords
from service.storage.directory import Directory, Entry, Token, digest, token_entry
from service.storage.errors import AlreadyExists
from service.storage.passwords import Login
from service.storage.store import Storage


class Malformed(Exception):
    """The document cannot be applied; says where and why. Nothing was written."""


Change = Token | Entry | Login


class Section(NamedTuple):
    """What a document declares of one dialect, in the dialect's own words and as what is to be written down."""

    dialect: Dialect
    declared: Any
    changes: list[Change]


def parse(text: bytes | str, dialects: Iterable[Dialect]) -> list[Section]:
    """What a document declares, dialect by dialect. Raises Malformed."""
    try:
        document = _read(text)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"not YAML or JSON: {error}") from None
    known = {dialect.name: dialect for dialect in dialects}
    if not isinstance(document, dict) or not document:
        raise Malformed(f"the document is to be a map with some of: {', '.join(known)}")
    if unknown := [str(name) for name in document if name not in known]:
        raise Malformed(f"no such dialect: {', '.join(unknown)}; there are {', '.join(known)}")
    return [_section(known[name], section or {}) for name, section in document.items()]


def _read(text: bytes | str) -> Any:
    """JSON is YAML too, but large documents are JSON, and of 10,000 entries YAML takes 9 s. (libyaml's loader, which is
    faster, crashes on deep nesting.)"""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return yaml.safe_load(text)


def _section(dialect: Dialect, section: Any) -> Section:
    try:
        declared: Any = msgspec.convert(section, dialect.access, strict=True)
        return Section(dialect, declared, list(declared.changes()))
    except (msgspec.ValidationError, ValueError) as error:
        raise Malformed(f"{dialect.name}: {error}") from None


async def apply(
    directory: Directory, storage: Storage, text: bytes | str, dialects: Iterable[Dialect]
) -> list[dict[str, str]]:
    """Apply a document; replies the tokens that were generated for it, which are shown this once.

    Raises Malformed, Unavailable, OutcomeUnknown (repeat it).
    """
    issued: list[dict[str, str]] = []
    for dialect, declared, changes in parse(text, dialects):
        await directory.declare(dialect.name, [change for change in changes if isinstance(change, Entry)])
        for change in changes:
            if isinstance(change, Token):
                issued += await _apply_token(directory, dialect.name, change)
        logins = await passwords.declare(directory, dialect.name, [each for each in changes if isinstance(each, Login)])
        issued += [{"dialect": dialect.name, "id": name, "token": password} for name, password in logins]
        if dialect.follow is not None:
            try:
                await dialect.follow(declared, directory, storage)
            except AlreadyExists as refusal:  # something else has what is declared: only the document can be changed
                raise Malformed(f"{dialect.name}: {refusal}") from None
    await directory.announce()
    return issued


async def _apply_token(directory: Directory, dialect: str, declared: Token) -> list[dict[str, str]]:
    """Write one token. A named one replaces the token that its name had: the name's entry remembers the digest."""
    named = await directory.find(dialect, "named", declared.name) if declared.name is not None else None
    old = named["digest"] if named else None
    if declared.remove:
        gone = old if declared.token is None else digest(declared.token)
        entries = [] if gone is None else [Entry("token", gone, None)]
        if declared.name is not None:
            entries.append(Entry("named", declared.name, None))
        await directory.declare(dialect, entries)
        return []
    generated = secrets.token_urlsafe(32) if declared.token is None and old is None else None
    token = declared.token or generated
    new = digest(token) if token is not None else str(old)
    await directory.declare(dialect, [token_entry(new, declared.caller)])
    if declared.name is not None:
        await directory.declare(dialect, [Entry("named", declared.name, {"digest": new})])
    if old is not None and old != new:
        await directory.declare(dialect, [Entry("token", old, None)])
    return [{"dialect": dialect, "id": declared.caller.id, "token": generated}] if generated else []
