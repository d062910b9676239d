"""Finds the Lua scripts, composes them into one library of functions, and reads their interface from their lines.

A script binds names once: `local record = KEYS[1] -- ...` and `local body = ARGV[2] -- ...`; a last
`local indexes = {unpack(KEYS, 4)}` takes any number of keys, `{unpack(ARGV, 3)}` any number of arguments.
These lines are the interface: Python calls a script with names, so no position is written twice.

The last arguments may be bound with `or ''`: empty arguments at the end are not sent. An entry of a journal is sent
behind the other arguments; the script takes it first: `local journal = ... table.remove(ARGV) or ''`.

A header may say `Varies: record, id, body`: the names of the first key and of the first two arguments, which are
different in each call. All others are often the same, so they are packed once and kept.

The library has each include once, as a local function, and one function for each script, which is given KEYS and ARGV
as parameters. A script whose header says `Idempotent:` has a second function, `put_once` beside `put`, that
include/once.lua runs: key, fingerprint and remark are its last arguments, and are removed before the script runs.

The functions of Lua and Redis (`redis.call`, `string.byte`) are looked up once for a library, in its first call, and
kept in local variables: looking a function up in the tables of globals costs half as much as calling it. They do not
exist yet while a library is loaded.

The names of the library and of its functions end with a digest of its text. So workers of two versions call their own
functions on one server.

    python -m service.storage.scripts.library              prints the library (Redis reports line numbers of it)
    python -m service.storage.scripts.library --all DIR    writes it, and each script and include by itself: luacheck
"""

import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from hashlib import sha256
from operator import itemgetter
from pathlib import Path
from typing import Any

from service.redis.wire import END, Argument, counted, pack, run, sized

_include = re.compile(r"^--- @include (\S+)\n", re.MULTILINE)
_binding = re.compile(r"^local (\w+) *= (KEYS|ARGV)\[(\d+)\]", re.MULTILINE)
_tail = re.compile(r"^local (\w+) *= \{unpack\((KEYS|ARGV), (\d+)\)\}", re.MULTILINE)
_foreign = re.compile(r"\b(redis|string|math|cmsgpack|struct|table)\.(\w+)")
_optional = re.compile(r"^local (\w+) *= ARGV\[\d+\] or ''", re.MULTILINE)
_journal = re.compile(r"^local journal = .*table\.remove\(ARGV\) or ''", re.MULTILINE)
_repeats = re.compile(r"^--- Idempotent: ", re.MULTILINE)
_flags = re.compile(r"^--- Flags: (.+)$", re.MULTILINE)
_varies = re.compile(r"^--- Varies: (.+)\.$", re.MULTILINE)

ONCE = "_once"  # ends the name of a script's second function
DIGEST = 16  # characters of the digest
NAME = "polystow_"  # begins the names of all libraries of this service

_FUNCTION = """\
do
local function operation(KEYS, ARGV)
if not bound then bind() end
{source}end
redis.register_function{{function_name = '{name}' .. digest, callback = operation{flags}}}
"""
_SECOND = """\
redis.register_function{{function_name = '{name}_once' .. digest{flags}, callback = function(KEYS, ARGV)
if not bound then bind() end
return once(table.remove(KEYS), table.remove(ARGV, #ARGV - 1), table.remove(ARGV), function()
return operation(KEYS, ARGV)
end)
end}}
"""


class Malformed(Exception):
    """A script cannot be composed, or its bindings have gaps. The text names the script and the error."""


@dataclass(frozen=True, slots=True)
class Script:
    """One script. `text` is composed, `function` the name by which a server calls it. `keys` and `arguments` are names
    in the order of their positions, of which the last `optional` are not sent if they are empty; `varies` are the names
    that its header declares as varying."""

    function: str
    text: str
    keys: tuple[str, ...]
    arguments: tuple[str, ...]
    optional: int
    flags: tuple[str, ...]
    varies: tuple[str, ...]
    pick: Callable[[dict[str, Any]], tuple[Any, ...]]
    journaled: bool  # True if the argument `journal`, unless it is empty, is sent behind all others

    @property
    def writes(self) -> bool:
        return "no-writes" not in self.flags

    def packed(self, keys: Sequence[str], arguments: dict[str, Any], more: tuple[Argument, ...] = ()) -> bytes:
        """Return the command that runs the script, packed; `more` follows its arguments.

        hiredis packs all of it, which is a fifth of a PUT with its 19 arguments; with what does not vary packed before,
        a PUT takes 113,000 instructions instead of 121,000.
        """
        picked = self.pick(arguments)
        journal = arguments["journal"] if self.journaled else b""
        if more or not self.varies:
            sent = (*_sent(picked, self.optional), *((journal,) if journal else ()), *more)
            return pack(("FCALL", self.function, len(keys), *keys, *sent))
        key, id, body = keys[0].encode(), picked[0].encode(), picked[1]
        if not isinstance(body, bytes):
            body = str(body).encode()
        count, rest = _packed(picked[2:], self.optional)
        if journal:
            count, rest = count + 1, b"".join((rest, sized(len(journal)), journal, END))
        return b"".join(
            (
                counted(5 + len(keys) + count),
                run(("FCALL", self.function, len(keys))),
                sized(len(key)),
                key,
                END,
                run(tuple(keys[1:])),
                sized(len(id)),
                id,
                END,
                sized(len(body)),
                body,
                END,
                rest,
            )
        )


def _sent(arguments: tuple[Argument, ...], optional: int) -> tuple[Argument, ...]:
    """Leave out those of the last `optional` arguments that are empty and at the end."""
    end = len(arguments)
    while end > len(arguments) - optional and arguments[end - 1] == "":
        end -= 1
    return arguments[:end]


@lru_cache(maxsize=4096)
def _packed(arguments: tuple[Argument, ...], optional: int) -> tuple[int, bytes]:
    """Return the number of these arguments that are sent, and these packed."""
    sent = _sent(arguments, optional)
    return len(sent), run(sent)


@dataclass(frozen=True, slots=True)
class Library:
    """All scripts by name, and the text that is loaded into servers to define their functions."""

    digest: str
    text: str
    scripts: dict[str, Script]

    @property
    def name(self) -> str:
        return NAME + self.digest


def folder() -> Path:
    """`lua/` inside the installed package, or beside it in a checkout."""
    package = Path(__file__).parents[2]
    inside = package / "lua"
    return inside if inside.is_dir() else package.parent / "lua"


def installed() -> Library:
    """Return the library of the scripts in this package. Raises Malformed."""
    return _kept(folder())


@cache
def _kept(where: Path) -> Library:
    """Return the library of a folder. It is kept, because composing it takes 13 ms."""
    return load(where)


def load(where: Path) -> Library:
    """Compose the library of all scripts in a folder. Raises Malformed."""
    sources = {path.stem: path.read_text() for path in sorted(where.glob("*.lua"))}
    repeated = {name for name, source in sources.items() if _repeats.search(source)}
    includes: dict[str, str] = {}
    if repeated:
        _gather("--- @include once\n", where, includes, ("library",))
    for name, source in sources.items():
        _gather(source, where, includes, (name,))
    functions = (_functions(name, text, name in repeated) for name, text in sources.items())
    body = _bound("".join((*includes.values(), *functions)))
    digest = sha256(body.encode()).hexdigest()[:DIGEST]
    scripts: dict[str, Script] = {}
    for name, source in sources.items():
        scripts[name] = _script(name, source, where, digest)
        if name in repeated:
            scripts[name + ONCE] = replace(scripts[name], function=f"{name}{ONCE}_{digest}")
    return Library(digest, f"#!lua name={NAME}{digest}\nlocal digest = '_{digest}'\n{body}", scripts)


def _bound(text: str) -> str:
    """Make the functions of a library call those of Lua and Redis through local variables of the library."""
    lines = [line.partition("--") for line in text.splitlines(keepends=True)]
    used = sorted({found[0] for code, _, _ in lines for found in _foreign.finditer(code)} - {"redis.register_function"})
    names = {name: name.replace(".", "_") for name in used}
    renamed = "".join(
        _foreign.sub(lambda found: names.get(found[0], found[0]), code) + dashes + comment
        for code, dashes, comment in lines
    )
    bindings = "".join(f"{own} = {name}\n" for name, own in names.items())
    declared = "".join(f"local {own}\n" for own in ("bound", *names.values()))
    return f"{declared}local function bind()\n{bindings}bound = true\nend\n{renamed}"


def _functions(name: str, source: str, repeated: bool) -> str:
    """Return the part of the library that registers the functions of one script."""
    flags = "".join(f"'{flag}', " for flag in _flagged(source))
    words = {"name": name, "source": _include.sub("", source), "flags": flags and f", flags = {{{flags[:-2]}}}"}
    return _FUNCTION.format(**words) + (_SECOND.format(**words) if repeated else "") + "end\n"


def _script(name: str, source: str, where: Path, digest: str) -> Script:
    keys, arguments = _names(name, source)
    includes: dict[str, str] = {}
    _gather(source, where, includes, (name,))
    return Script(
        function=f"{name}_{digest}",
        text="".join((*includes.values(), _include.sub("", source))),
        keys=keys,
        arguments=arguments,
        optional=_last(name, source, arguments),
        flags=_flagged(source),
        varies=_varying(name, source, keys, arguments),
        pick=_picker(arguments, several=any(kind == "ARGV" for _, kind, _ in _tail.findall(source))),
        journaled=_journal.search(source) is not None,
    )


def _last(name: str, source: str, arguments: Sequence[str]) -> int:
    """Count the arguments that are bound with `or ''`. Raises Malformed if others follow them."""
    found = _optional.findall(source)
    if found and found != list(arguments[-len(found) :]):
        raise Malformed(f"{name}: only the last arguments may be missing: {', '.join(found)}")
    return len(found)


def _flagged(source: str) -> tuple[str, ...]:
    found = _flags.search(source)
    return tuple(found[1].strip().split(", ")) if found else ()


def _gather(source: str, where: Path, found: dict[str, str], inside: tuple[str, ...]) -> None:
    """Add to `found` the text of each include that a source needs, after the includes that it needs itself."""
    for include in _include.findall(source):
        if include in inside:
            raise Malformed(f"{inside[0]}: includes go round in a circle: {' > '.join((*inside, include))}")
        if include in found:
            continue
        path = where / "include" / f"{include}.lua"
        if not path.is_file():
            raise Malformed(f"{inside[0]}: there is no include {include!r} (named in {inside[-1]})")
        text = path.read_text()
        _gather(text, where, found, (*inside, include))
        found[include] = _include.sub("", text)


def _names(name: str, source: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names bound to keys and arguments. Raises Malformed if their positions have a gap."""
    bound: dict[str, dict[int, str]] = {"KEYS": {}, "ARGV": {}}
    for variable, kind, position in _binding.findall(source):
        if bound[kind].setdefault(int(position), variable) != variable:
            raise Malformed(f"{name}: {kind}[{position}] is bound twice")
    for variable, kind, position in _tail.findall(source):
        bound[kind][int(position)] = variable
    for kind, names in bound.items():
        if sorted(names) != list(range(1, len(names) + 1)):
            raise Malformed(f"{name}: the bindings of {kind} have a gap: {sorted(names)}")
    keys, arguments = ([names[i] for i in sorted(names)] for names in bound.values())
    return tuple(keys), tuple(arguments)


def _varying(name: str, source: str, keys: Sequence[str], arguments: Sequence[str]) -> tuple[str, ...]:
    """Return the arguments that the header declares as varying, if any. Raises Malformed if they are not the first
    ones."""
    if (found := _varies.search(source)) is None:
        return ()
    named = tuple(found[1].split(", "))
    if named != (*keys[:1], *arguments[:2]):
        raise Malformed(f"{name}: what varies has to be bound to KEYS[1], ARGV[1] and ARGV[2]: {', '.join(named)}")
    return named


def _picker(names: tuple[str, ...], *, several: bool) -> Callable[[dict[str, Any]], tuple[Any, ...]]:
    """Return a function that orders arguments given by name; its KeyError names a missing one. `several`: the last
    name stands for any number of arguments."""
    if several:
        first = _picker(names[:-1], several=False)
        return lambda given: (*first(given), *given[names[-1]])
    if len(names) > 1:
        return itemgetter(*names)
    return lambda given: tuple(given[name] for name in names)


def _write(library: Library, where: Path) -> None:
    (where / "library.lua").write_text(library.text)
    for name, script in library.scripts.items():
        if not name.endswith(ONCE):
            (where / f"{name}.lua").write_text(script.text)
    for path in sorted((folder() / "include").glob("*.lua")):
        found: dict[str, str] = {}
        _gather(f"--- @include {path.stem}\n", folder(), found, ("library",))
        (where / f"include_{path.stem}.lua").write_text("".join(found.values()) + f"return {path.stem}\n")


def main(arguments: list[str]) -> None:
    if len(arguments) == 2 and arguments[0] == "--all":
        _write(installed(), Path(arguments[1]))
    elif not arguments:
        print(installed().text, end="")
    else:
        sys.exit("usage: python -m service.storage.scripts.library [--all DIR]")


if __name__ == "__main__":
    main(sys.argv[1:])
