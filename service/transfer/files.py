"""Imports records with files. Their bytes are read and written a piece at a time."""

from collections.abc import AsyncIterator, Iterator
from contextlib import suppress

from service.storage import keys
from service.storage.errors import AlreadyExists, Changed, Unavailable
from service.storage.files.areas import Value
from service.storage.files.attachments import Attached
from service.storage.files.blobs import Kept, Span, Staging
from service.storage.files.files import File
from service.storage.files.transfer import Content as Held
from service.storage.files.transfer import FileTransfer
from service.storage.outcomes import Outcome
from service.storage.records.record import Record
from service.storage.scripts.runner import Runner
from service.transfer.lines import Content, Files, Line, Piece, Withdrawn, body_of
from service.transfer.rendering import files
from service.transfer.repeating import until_reachable


class _Gone(Exception):
    """The export has withdrawn the record (`lines.Withdrawn`)."""


class FileImport:
    """The part of an import for records with files."""

    def __init__(self, runner: Runner, *, replace: bool) -> None:
        self._files = FileTransfer(runner)
        self._replace = replace

    async def restore(self, line: Files, reading: Iterator[Line]) -> Outcome | None:
        """Restore a record whose files are in the next lines. Return the outcome, or None if it is withdrawn.

        Raises Unavailable if Redis cannot be reached: the bytes can be read only once, so it is not tried again.
        """
        collection = keys.collection(line.dialect, line.namespace, line.collection, "")
        found = await until_reachable(lambda: self._files.find(collection, line.id))
        before: Attached | None = None
        if found is not None:
            before, held = found
            there = files(collection, line.id, before.record, held, {})
            alive = before.at // 1000
            if (same := _state(there, alive) == _state(line, alive)) or not self._replace:
                with suppress(_Gone):
                    for blob in line.blobs:
                        async for _ in _arriving(reading, blob.size):
                            pass
                    return Outcome.PRESENT if same else Outcome.DIFFERENT
                return None
        times = line.version, line.created, line.updated, line.expires
        record = Record(*times, line.creator, line.updater, 0)

        async def fill(staging: Staging) -> Held:
            kept = {blob.id: await staging.keep(_arriving(reading, blob.size)) for blob in line.blobs}
            return _held(line, kept)

        try:
            return await self._files.restore(collection, line.id, record, fill, before)
        except _Gone:
            return None
        except AlreadyExists:
            return Outcome.DIFFERENT
        except Changed:
            raise Unavailable(f"{collection.tag}: another client wrote it at the same time; import it again") from None


async def _arriving(reading: Iterator[Line], size: int) -> AsyncIterator[bytes]:
    """Yield the bytes of one blob from the next lines. Raises _Gone if the record is withdrawn instead."""
    while size > 0:
        line = next(reading)
        if isinstance(line, Withdrawn):
            raise _Gone
        assert isinstance(line, Piece)
        body = body_of(line) or b""
        size -= len(body)
        yield body


def _held(line: Files, kept: dict[str, Kept]) -> Held:
    """Return the content of a line, with the ids of the blobs that were stored here in place of the exported ones."""
    if line.file is not None:
        file = line.file
        body = None if file.content is None else _body(file.content, kept)
        return File(file.name, file.size, file.md5, file.media, body)
    return {
        key: Value(value.expires, _body(value.content, kept), value.media, value.filename, value.md5)
        for key, value in (line.values or {}).items()
    }


def _body(content: Content, kept: dict[str, Kept]) -> bytes | Span:
    if content.blob is None:
        return content.base64 if content.text is None and content.base64 is not None else (content.text or "").encode()
    body = kept[content.blob].body
    if isinstance(body, bytes):
        return body[content.start : content.start + content.size]
    return Span(body.blob, body.start + content.start, content.size)


def _state(line: Files, alive: int) -> tuple[object, ...]:
    """Return the compared part of a record with files: all but ids of blobs and values that have expired by `alive`."""
    state = line.version, line.created, line.updated, line.expires, line.creator, line.updater
    if line.file is not None:
        file = line.file
        return *state, file.name, file.size, file.md5, file.media, _shown(file.content)
    values = {key: one for key, one in (line.values or {}).items() if one.expires >= alive}
    shown = {key: (one.expires, one.media, one.filename, one.md5, _shown(one.content)) for key, one in values.items()}
    return *state, tuple(sorted(shown.items()))


def _shown(content: Content | None) -> object:
    if content is None:
        return None
    if content.blob is not None:
        return content.size
    return content.text, content.base64
