"""Application of an access document (YAML or JSON) to a directory.

Each dialect reads its own section of the document; this module stores the entries that the section declares.

A declared entry is added or replaced. An entry that the document leaves out stays. Applying a document twice has the
same effect as applying it once. If an apply is interrupted, every entry is either as before or as declared, and
applying the document again finishes the work. The workers are told after everything is written, so an apply that was
answered is in force in every worker within a second.
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
    """The section of one dialect: as it was read, and as the changes to store."""

    dialect: Dialect
    declared: Any
    changes: list[Change]


def parse(text: bytes | str, dialects: Iterable[Dialect]) -> list[Section]:
    """Return the sections of a document, one for each dialect that it names. Raises Malformed."""
    document = read(text)
    known = {dialect.name: dialect for dialect in dialects}
    if not isinstance(document, dict) or not document:
        raise Malformed(f"the document must be a map whose keys are dialects: {', '.join(known)}")
    for number, name in enumerate(document, 1):
        if name not in known:
            raise Malformed(f"section {number}: no such dialect; there are {', '.join(known)}")
    declared = {name: convert(name, content, known[name].access) for name, content in document.items()}
    return [Section(known[name], section, list(section.changes())) for name, section in declared.items()]


async def apply(
    directory: Directory, storage: Storage, text: bytes | str, dialects: Iterable[Dialect]
) -> list[dict[str, str]]:
    """Apply a document. Return the tokens that were generated for it, which cannot be shown again.

    Raises Malformed, Unavailable and OutcomeUnknown; after the last two the document should be applied again.
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
            except AlreadyExists as refusal:  # a declared id or name is taken, so the document must be changed
                raise Malformed(f"{dialect.name}.{refusal}") from None
    await directory.invalidate()
    return issued


async def _apply_tokens(directory: Directory, dialect: str, tokens: list[Token]) -> list[tuple[str, str]]:
    """Store tokens. Return the ids and the texts of those that were generated.

    A named token replaces the token that had the name before. The entry of the name holds the digest of the current
    token. It is written last: if an apply is interrupted, the next one still finds the digest to remove.
    """

    async def current_digest(token: Token) -> str | None:
        entry = token.name and await directory.find_entry(dialect, "named", token.name)
        return entry["digest"] if entry else None

    generated: list[tuple[str, str]] = []
    written, names, removed = dict[str, Entry](), list[Entry](), set[str | None]()
    for token, old in zip(tokens, await fan_out(current_digest, tokens), strict=True):
        new = old if token.token is None else digest(token.token)
        if token.remove:
            removed.add(new)
        else:
            removed.add(old)
            if new is None:
                generated.append((token.caller.id, secrets.token_urlsafe(32)))
                new = digest(generated[-1][1])
            written[new] = token_entry(new, token.caller)
        if token.name is not None:
            names.append(Entry("named", token.name, None if token.remove else {"digest": new}))
    await directory.declare(dialect, written.values())
    await directory.declare(dialect, [Entry("token", each, None) for each in removed if each and each not in written])
    await directory.declare(dialect, names)
    return generated
