"""The command line `polystow`: serve, access apply, fsck, doctor, verify, migrate, export, import, copy.

Exit statuses: 0 if the command is done or the service was stopped by a signal; 1 if the service could not start, Redis
could not be used, or fsck or doctor found something; 2 for wrong arguments, settings or documents.
"""

import argparse
import json
import logging
import os
import socket
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

from service import __version__, logs
from service.redis.binary import Unusable
from service.redis.errors import Failed
from service.settings import BadSetting, Settings, add_flags, read, unknown
from service.storage.errors import Refusal

if TYPE_CHECKING:
    from service.migration.command import Migration
    from service.process.supervisor import Announce, Serving

DESCRIPTION = "Four vendors' storage APIs, served from one core on Redis. Flags win over their POLYSTOW_ variables."
DATA_SETTINGS = ("redis_url", "data_dir")  # the settings that say where the data is

# Each command imports its modules when it runs, so that a worker does not load the supervisor.


def _serve(settings: Settings, arguments: argparse.Namespace) -> int:
    from service.process.supervisor import serve

    return uvloop.run(serve(settings, arguments.announce))


def announce(serving: "Serving") -> None:
    """Print the URLs of the service and the generated tokens."""
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
    from service.operations.apply_access import apply_document

    async with _redis(settings) as redis_url:
        try:
            tokens = await apply_document(redis_url, document)
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
    _existing(settings)
    return uvloop.run(_examine(settings, arguments.repair))


async def _examine(settings: Settings, repair: bool) -> int:
    from service.dialects import readers
    from service.storage.fsck import check as fsck

    async with _redis(settings) as redis_url:
        return await fsck.run(redis_url, repair=repair, out=print, readers=readers())


def _export(settings: Settings, arguments: argparse.Namespace) -> int:
    from service.transfer.commands import writable

    if not writable(arguments.file):
        raise BadSetting(f"{arguments.file}: the name of an export ends in .ndjson or .ndjson.zst, or is -")
    _existing(settings)
    return uvloop.run(_export_to(settings, arguments))


async def _export_to(settings: Settings, arguments: argparse.Namespace) -> int:
    from service.dialects import discover
    from service.transfer.commands import export
    from service.transfer.unlisted import Selection

    chosen = [frozenset[str](names or ()) for names in (arguments.dialect, arguments.project, arguments.category)]
    private = frozenset((dialect.name, kind) for dialect in discover() for kind in dialect.private)
    selection = Selection(chosen[0], chosen[1], chosen[2], arguments.with_access, private)
    async with _redis(settings) as redis_url:
        with _usable(arguments.file):
            return await export(redis_url, arguments.file, selection, quiet=arguments.quiet)


def _import(settings: Settings, arguments: argparse.Namespace) -> int:
    return uvloop.run(_import_from(settings, arguments))


async def _import_from(settings: Settings, arguments: argparse.Namespace) -> int:
    from service.dialects import discover
    from service.transfer.commands import import_

    known = {dialect.name for dialect in discover()}
    async with _redis(settings) as redis_url:
        with _usable(arguments.file):
            return await import_(redis_url, arguments.file, known, arguments.on_conflict, quiet=arguments.quiet)


def _copy(settings: Settings, arguments: argparse.Namespace) -> int:
    from service.setting_types import REDIS_URL

    for flag, url in (("--from", arguments.source), ("--to", arguments.target)):
        try:
            REDIS_URL.parse(url)
        except ValueError:
            raise BadSetting(f"{flag}: its value is not {REDIS_URL.expected}") from None
    if arguments.source == arguments.target:
        raise BadSetting("--from and --to name the same Redis")
    return uvloop.run(_copy_between(arguments))


async def _copy_between(arguments: argparse.Namespace) -> int:
    from service.dialects import discover
    from service.transfer.commands import copy

    return await copy(
        arguments.source,
        arguments.target,
        {dialect.name for dialect in discover()},
        arguments.on_conflict,
        access=arguments.with_access,
        quiet=arguments.quiet,
    )


@contextmanager
def _usable(file: str) -> Iterator[None]:
    """Raise BadSetting, which names the file, if the file in this block cannot be used."""
    try:
        yield
    except OSError as error:
        raise BadSetting(f"{file}: {error.strerror}") from error


def _existing(settings: Settings) -> None:
    """Raise BadSetting if the data directory does not exist: with a wrong name, nothing would be found."""
    if settings.redis_url is None and not settings.data_dir.is_dir():
        raise BadSetting(
            f"the data directory {settings.data_dir} does not exist; set --data-dir or POLYSTOW_DATA_DIR, or name a"
            " Redis with --redis"
        )


def _doctor(settings: Settings, arguments: argparse.Namespace) -> int:
    from service.operations import doctor

    return uvloop.run(doctor.run(settings, print))


def _verify(settings: Settings, arguments: argparse.Namespace) -> int:
    from service.verification import command

    chosen = (arguments.dialect, arguments.against, arguments.token_env, os.environ)
    return uvloop.run(command.run(*chosen, beyond=arguments.beyond, report=arguments.report))


def _migrate(settings: Settings, arguments: argparse.Namespace) -> int:
    status: int = uvloop.run(arguments.vendor(settings, arguments))
    return status


async def _migrate_ainoflow(settings: Settings, arguments: argparse.Namespace) -> int:
    from service.migration.command import migrate_ainoflow

    incoming = arguments.source is not None
    wanted = _migration(arguments, *(("--from", arguments.source) if incoming else ("--to", arguments.target)))
    chosen, categories = arguments.project, arguments.category or []
    async with _redis(settings) as redis_url:
        return await migrate_ainoflow(redis_url, wanted, incoming=incoming, project=chosen, categories=categories)


async def _migrate_auravant(settings: Settings, arguments: argparse.Namespace) -> int:
    from service.migration.command import migrate_auravant

    wanted = _migration(arguments, "--from", arguments.source)
    task = {name: getattr(arguments, name) for name in ("scope", "extension", "environment")}
    ids, keys = (
        [*dict.fromkeys(line.strip() for line in _contents(file).decode().splitlines() if line.strip())]
        for file in (arguments.ids, arguments.keys)
    )
    async with _redis(settings) as redis_url:
        return await migrate_auravant(redis_url, wanted, task, ids, keys)


async def _migrate_avaamo(settings: Settings, arguments: argparse.Namespace) -> int:
    from service.migration.command import layer_ids, migrate_avaamo

    wanted = _migration(arguments, "--from", arguments.source)
    users = layer_ids(arguments.users, _contents(arguments.users)) if arguments.users else {}
    async with _redis(settings) as redis_url:
        return await migrate_avaamo(redis_url, wanted, str(arguments.agent), users)


def _migration(arguments: argparse.Namespace, flag: str, url: str) -> "Migration":
    from service.migration.command import Migration
    from service.remote import target

    token = target.token(arguments.token_env, os.environ) or ""
    state = Path(arguments.state) if arguments.state else None
    return Migration(target.base_url(flag, url), token, state, arguments.quiet)


@asynccontextmanager
async def _redis(settings: Settings) -> AsyncIterator[str]:
    """Yield the URL of the Redis to use.

    It is the one in the settings, or the embedded one of a running service, or one that is started here and stopped
    afterwards.
    """
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
    """Return the parser of the commands and their flags."""
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
    add_flags(apply, DATA_SETTINGS)
    apply.set_defaults(run=_access_apply)
    fsck = commands.add_parser("fsck", help="check that indexes, expiries and records agree", allow_abbrev=False)
    fsck.add_argument("--repair", action="store_true", help="also repair what is found")
    add_flags(fsck, DATA_SETTINGS)
    fsck.set_defaults(run=_fsck)
    _add_transfers(commands)
    doctor = commands.add_parser(
        "doctor", help="report problems of settings, Redis and machine, with remedies", allow_abbrev=False
    )
    add_flags(doctor)
    doctor.set_defaults(run=_doctor)
    _add_verify(commands.add_parser("verify", help="replay the vendor's page against a server", allow_abbrev=False))
    _add_migrate(commands)
    worker = commands.add_parser("worker")  # for the supervisor; without a help text it is not listed
    for name in ("index", "listener", "link"):
        worker.add_argument(name, type=int)
    worker.set_defaults(run=_worker)
    return root


def _add_verify(verify: argparse.ArgumentParser) -> None:
    verify.add_argument("dialect", metavar="DIALECT", help="the dialect to verify, such as ainoflow")
    verify.add_argument("--against", metavar="BASE_URL", required=True, help="the server; its project must be empty")
    verify.add_argument("--token-env", metavar="NAME", help="environment variable that holds the credential")
    verify.add_argument("--beyond", action="store_true", help="also replay decisions and additions of this service")
    verify.add_argument("--report", metavar="FILE", help="write the outcome as JSON; - for standard output")
    verify.set_defaults(run=_verify)


def _add_migrate(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command `migrate`, with one subcommand for each vendor."""
    migrate = commands.add_parser("migrate", help="move data from a vendor or to it, over its API", allow_abbrev=False)
    vendors = migrate.add_subparsers(metavar="DIALECT", required=True)
    ainoflow = vendors.add_parser("ainoflow", help="documents", allow_abbrev=False)
    direction = ainoflow.add_mutually_exclusive_group(required=True)
    direction.add_argument("--from", dest="source", metavar="BASE_URL", help="bring documents from this server")
    direction.add_argument("--to", dest="target", metavar="BASE_URL", help="take documents to this server")
    ainoflow.add_argument("--project", required=True, help="the project here")
    ainoflow.add_argument("--category", action="append", help="only this category; may be repeated")
    ainoflow.set_defaults(run=_migrate, vendor=_migrate_ainoflow)
    avaamo = vendors.add_parser("avaamo", help="variables of an agent", allow_abbrev=False)
    avaamo.add_argument("--from", dest="source", metavar="BASE_URL", required=True, help="the server that has them")
    avaamo.add_argument("--agent", metavar="N", type=int, required=True, help="the agent, there and here")
    avaamo.add_argument("--users", metavar="FILE", help="one user per line: layer id, comma, number")
    avaamo.set_defaults(run=_migrate, vendor=_migrate_avaamo)
    auravant = vendors.add_parser("auravant", help="values and files of an extension", allow_abbrev=False)
    auravant.add_argument("--from", dest="source", metavar="BASE_URL", required=True, help="the server that has them")
    auravant.add_argument("--scope", choices=("users", "fields", "farms"), required=True, help="where they are kept")
    auravant.add_argument("--ids", metavar="FILE", required=True, help="ids of users, fields or farms, one per line")
    auravant.add_argument("--keys", metavar="FILE", required=True, help="keys, one per line")
    auravant.add_argument("--extension", metavar="CLIENT_ID", required=True, help="the extension here")
    auravant.add_argument("--environment", default="production", choices=("production", "dev"), help="[production]")
    auravant.set_defaults(run=_migrate, vendor=_migrate_auravant)
    for command in (ainoflow, avaamo, auravant):
        command.add_argument(
            "--token-env", metavar="NAME", required=True, help="environment variable with the credential"
        )
        command.add_argument("--state", metavar="FILE", help="file for the progress, to continue after a stop")
        command.add_argument("--quiet", action="store_true", help="print only errors")
        add_flags(command, DATA_SETTINGS)


def _add_transfers(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the commands `export`, `import` and `copy`."""
    export = commands.add_parser("export", help="write everything into a file", allow_abbrev=False)
    export.add_argument("file", metavar="FILE", help="its name ends in .ndjson or .ndjson.zst; - for standard output")
    export.add_argument("--dialect", action="append", help="only this dialect; may be repeated")
    export.add_argument("--project", action="append", help="only documents of this project; may be repeated")
    export.add_argument("--category", action="append", help="only documents of this category; may be repeated")
    export.set_defaults(run=_export)
    into = commands.add_parser("import", help="write the records of a file into the store", allow_abbrev=False)
    into.add_argument("file", metavar="FILE", help="an export; - for standard input")
    into.set_defaults(run=_import)
    between = commands.add_parser("copy", help="write the records of one Redis into another one", allow_abbrev=False)
    between.add_argument("--from", dest="source", metavar="REDIS_URL", required=True, help="the Redis to read")
    between.add_argument("--to", dest="target", metavar="REDIS_URL", required=True, help="the Redis to write")
    between.add_argument("--quiet", action="store_true", help="print only errors")
    between.set_defaults(run=_copy)
    conflicts = ("fail", "skip", "replace")
    for command in (into, between):
        command.add_argument(
            "--on-conflict", choices=conflicts, default="fail", help="if a different record is stored already [fail]"
        )
    for command in (export, into):
        command.add_argument("--quiet", action="store_true", help="print only errors")
        add_flags(command, DATA_SETTINGS)
    for command in (export, between):
        command.add_argument(
            "--with-access", action="store_true", help="keys, tokens, passwords, rates and quotas, too"
        )


def main(arguments: Sequence[str] | None = None, announce: "Announce" = announce) -> int:
    """Run one command and return the exit status. `serve` calls `announce` once when the service is ready."""
    parsed = parser().parse_args(arguments)
    parsed.announce = announce
    index = getattr(parsed, "index", None)
    try:
        settings = read(vars(parsed), os.environ)
        logs.configure(
            "warning" if getattr(parsed, "quiet", False) else settings.log_level,
            "parent" if index is None else f"worker {index}",
        )
        for name in unknown(os.environ):
            logging.getLogger("service").warning("%s is not a setting of this version and is ignored", name)
        status: int = parsed.run(settings, parsed)
    except BadSetting as error:
        print("polystow:", " ".join(str(error).split()), file=sys.stderr)  # as one line; YAML's errors have several
        return 2
    except (Failed, Refusal, Unusable) as error:
        print("polystow:", error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return status


if __name__ == "__main__":
    sys.exit(main())
