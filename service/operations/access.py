"""Applies an access document (YAML or JSON): each dialect's section says what it declares, this writes it down.

What a document declares is added or replaced, what it leaves out stays, and applying it twice is applying it once. An
apply that stops half way leaves every entry either as it was or as declared; repeat it. Nothing is announced before
all is written, so an answered apply counts in every worker within a second.
"""

import secrets
from collections.abc import Iterable
from typing import Any, NamedTuple

from service.api.access_document import Malformed, convert, read
from service.api.dialect import Dialect
from service.storage.access import passwords
from service.storage.access.directory import Directory, Entry, Token, digest, token_entry
from service.storage.access.passwords import Login
from service.storage.errors import AlreadyExists
from service.storage.root import Storage
from service.storage.scripts.fan_out import fan_out

Change = Token | Entry | Login


class Section(NamedTuple):
    """The section of one dialect: as it was declared, and as the changes to store."""

    dialect: Dialect
    declared: Any
    changes: list[Change]


def parse(text: bytes | str, dialects: Iterable[Dialect]) -> list[Section]:
    """Return the sections of a document, one for each dialect. Raises Malformed."""
    document = read(text)
    known = {dialect.name: dialect for dialect in dialects}
    if not isinstance(document, dict) or not document:
        raise Malformed(f"the document must be a map with some of: {', '.join(known)}")
    for number, name in enumerate(document, 1):
        if name not in known:
            raise Malformed(f"section {number}: no such dialect; there are {', '.join(known)}")
    declared = {name: convert(name, content, known[name].access) for name, content in document.items()}
    return [Section(known[name], section, list(section.changes())) for name, section in declared.items()]


async def apply(
    directory: Directory, storage: Storage, text: bytes | str, dialects: Iterable[Dialect]
) -> list[dict[str, str]]:
    """Apply a document; replies the tokens that were generated for it, which are shown this once.

    Raises Malformed, Unavailable, OutcomeUnknown (repeat it).
    """
    issued: list[dict[str, str]] = []
    for dialect, declared, changes in parse(text, dialects):
        await directory.declare(dialect.name, [change for change in changes if isinstance(change, Entry)])
        tokens = [change for change in changes if isinstance(change, Token)]
        logins = [change for change in changes if isinstance(change, Login)]
        generated = await _apply_tokens(directory, dialect.name, tokens)
        generated += await passwords.declare(directory, dialect.name, logins)
        issued += [{"dialect": dialect.name, "id": name, "token": token} for name, token in generated]
        if dialect.apply_grants is not None:
            try:
                await dialect.apply_grants(declared, directory, storage)
            except AlreadyExists as refusal:  # something else has what is declared: only the document can be changed
                raise Malformed(f"{dialect.name}.{refusal}") from None
    await directory.invalidate()
    return issued


async def _apply_tokens(directory: Directory, dialect: str, tokens: list[Token]) -> list[tuple[str, str]]:
    """Write tokens; the ids and tokens of those that were generated. A named one replaces the token that its name had,
    whose digest the name's entry remembers: it is written last, so that a repetition still finds what is to go."""

    async def named(token: Token) -> str | None:
        entry = token.name and await directory.find_entry(dialect, "named", token.name)
        return entry["digest"] if entry else None

    generated: list[tuple[str, str]] = []
    written, names, gone = dict[str, Entry](), list[Entry](), set[str | None]()
    for token, old in zip(tokens, await fan_out(named, tokens), strict=True):
        new = old if token.token is None else digest(token.token)
        if token.remove:
            gone.add(new)
        else:
            gone.add(old)
            if new is None:
                generated.append((token.caller.id, secrets.token_urlsafe(32)))
                new = digest(generated[-1][1])
            written[new] = token_entry(new, token.caller)
        if token.name is not None:
            names.append(Entry("named", token.name, None if token.remove else {"digest": new}))
    await directory.declare(dialect, written.values())
    await directory.declare(dialect, [Entry("token", each, None) for each in gone if each and each not in written])
    await directory.declare(dialect, names)
    return generated
