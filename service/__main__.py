"""The command line: the one place where all parts meet.

Exit statuses: 0 when done or stopped as asked, 1 when it could not start or when fsck or doctor found something, 2 for
a wrong call or setting.
"""

import argparse
import json
import logging
import os
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

from service import __version__, logs
from service.redis.binary import Unusable
from service.redis.errors import Failed
from service.settings import BadSetting, Settings, add_flags, read, unknown
from service.storage.errors import Refusal

if TYPE_CHECKING:
    from service.process.supervisor import Announce, Serving

DESCRIPTION = "Four vendors' storage APIs, served from one core on Redis. Flags win over their POLYSTOW_ variables."
COLLECTION = ("redis_url", "data_dir")  # the settings that say where the data is

# Each command imports what it needs when it runs: a worker does not load the supervisor, `--version` nothing.


def _serve(settings: Settings, arguments: argparse.Namespace) -> int:
    from service.process.supervisor import serve

    return uvloop.run(serve(settings, arguments.announce))


def announce(serving: "Serving") -> None:
    """Tell a person, on standard output, where the service is and which tokens were generated."""
    for token in serving.tokens:
        print(json.dumps(token))
    print(f"polystow {__version__} is listening on {serving.url} (operations: {serving.ops_url})", flush=True)


def _worker(settings: Settings, arguments: argparse.Namespace) -> int:
    from service.process.worker import work

    listener = socket.socket(fileno=arguments.listener)
    link_end = socket.socket(fileno=arguments.link)
    return uvloop.run(work(settings, listener, link_end))


def _access_apply(settings: Settings, arguments: argparse.Namespace) -> int:
    return uvloop.run(_apply(settings, arguments.file, _contents(arguments.file)))


async def _apply(settings: Settings, file: str, document: bytes) -> int:
    from service.api.access_document import Malformed
    from service.operations.apply_access import declare

    async with _redis(settings) as redis_url:
        try:
            tokens = await declare(redis_url, document)
        except Malformed as error:
            raise BadSetting(f"{file}: {error}") from error
    for token in tokens:
        print(json.dumps(token))
    return 0


def _contents(file: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise BadSetting(f"{file}: {error.strerror}") from error


def _fsck(settings: Settings, arguments: argparse.Namespace) -> int:
    if settings.redis_url is None and not settings.data_dir.is_dir():  # a slip in its name would find nothing wrong
        raise BadSetting(f"{settings.data_dir}: there is no such directory, and no Redis URL was given")
    return uvloop.run(_examine(settings, arguments.repair))


async def _examine(settings: Settings, repair: bool) -> int:
    from service.dialects import discover
    from service.storage.fsck import check as fsck

    readers = {(dialect.name, namespace): kind for dialect in discover() for namespace, kind in dialect.readers.items()}
    async with _redis(settings) as redis_url:
        return await fsck.run(redis_url, repair=repair, out=print, readers=readers)


def _doctor(settings: Settings, arguments: argparse.Namespace) -> int:
    from service.operations import doctor

    return uvloop.run(doctor.run(settings, print))


def _verify(settings: Settings, arguments: argparse.Namespace) -> int:
    from service.verification import command

    chosen = (arguments.dialect, arguments.against, arguments.token_env, os.environ)
    return uvloop.run(command.run(*chosen, beyond=arguments.beyond, report=arguments.report))


@asynccontextmanager
async def _redis(settings: Settings) -> AsyncIterator[str]:
    """The URL of the Redis that was named, of a running service's embedded one, or of one for the moment."""
    from service.redis.embedded import Embedded, running

    known = settings.redis_url or running(settings.data_dir)
    if known is not None:
        yield known
        return
    server = str(settings.redis_server) if settings.redis_server else None
    embedded = Embedded(settings.data_dir, server=server, appendfsync=settings.appendfsync)
    await embedded.start()
    try:
        yield embedded.url
    finally:
        await embedded.stop()


def parser() -> argparse.ArgumentParser:
    """The commands and their flags."""
    root = argparse.ArgumentParser(prog="polystow", allow_abbrev=False, description=DESCRIPTION)
    root.add_argument("--version", action="version", version=f"polystow {__version__}")
    commands = root.add_subparsers(metavar="COMMAND", required=True)
    serve = commands.add_parser("serve", help="serve the dialects", allow_abbrev=False)
    add_flags(serve)
    serve.set_defaults(run=_serve)
    access = commands.add_parser("access", help="declare who may do what").add_subparsers(
        metavar="COMMAND", required=True
    )
    apply = access.add_parser("apply", help="apply an access document", allow_abbrev=False)
    apply.add_argument("file", metavar="FILE", help="YAML or JSON; - for standard input")
    add_flags(apply, COLLECTION)
    apply.set_defaults(run=_access_apply)
    fsck = commands.add_parser("fsck", help="compare indexes, expiries and records", allow_abbrev=False)
    fsck.add_argument("--repair", action="store_true", help="also put right what is wrong")
    add_flags(fsck, COLLECTION)
    fsck.set_defaults(run=_fsck)
    doctor = commands.add_parser("doctor", help="what stands against running here", allow_abbrev=False)
    add_flags(doctor)
    doctor.set_defaults(run=_doctor)
    _add_verify(commands.add_parser("verify", help="replay the vendor's page against a server", allow_abbrev=False))
    worker = commands.add_parser("worker")  # without help, and so unlisted: the supervisor's own
    for name in ("index", "listener", "link"):
        worker.add_argument(name, type=int)
    worker.set_defaults(run=_worker)
    return root


def _add_verify(verify: argparse.ArgumentParser) -> None:
    verify.add_argument("dialect", metavar="DIALECT", help="whose conversations: ainoflow, for example")
    verify.add_argument("--against", metavar="BASE_URL", required=True, help="the server; its project must be empty")
    verify.add_argument("--token-env", metavar="NAME", help="environment variable that holds the credential")
    verify.add_argument("--beyond", action="store_true", help="also replay what this service decided or added")
    verify.add_argument("--report", metavar="FILE", help="write the outcome as JSON; - for standard output")
    verify.set_defaults(run=_verify)


def main(arguments: Sequence[str] | None = None, announce: "Announce" = announce) -> int:
    """Run one command; the exit status. `announce` is called once when `serve` is ready."""
    parsed = parser().parse_args(arguments)
    parsed.announce = announce
    index = getattr(parsed, "index", None)
    try:
        settings = read(vars(parsed), os.environ)
        logs.configure(settings.log_level, "parent" if index is None else f"worker {index}")
        for name in unknown(os.environ):
            logging.getLogger("service").warning("%s is not a setting of this version", name)
        status: int = parsed.run(settings, parsed)
    except BadSetting as error:
        print("polystow:", " ".join(str(error).split()), file=sys.stderr)  # one line, whatever YAML's errors have
        return 2
    except (Failed, Refusal, Unusable) as error:
        print("polystow:", error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return status


if __name__ == "__main__":
    sys.exit(main())
