"""Finds the Lua scripts, composes their includes, and learns their interface from their own binding lines.

A script binds names once: `local record = KEYS[1] -- ...` and `local body = ARGV[2] -- ...`; a last
`local indexes = {unpack(KEYS, 3)}` takes any number of keys, `{unpack(ARGV, 3)}` any number of arguments.
These lines are the interface: Python calls by name, no position is written twice.

A header may say `Varies: record, id, body`: the names of the first key and of the first two arguments, which are
different in each call; all else is the same again and again, so it is packed once and kept.

A script whose header says `Idempotent:` has a second form, `put_once` beside `put`: the whole of it is a
function that include/once.lua runs. Key, fingerprint and remark come last, and are gone when the script sees the rest.

    python -m service.storage.scripts.library put          prints the composed text (Redis reports line numbers of it)
    python -m service.storage.scripts.library --all DIR    writes all of them, and each include by itself, for luacheck
"""

import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha1
from operator import itemgetter
from pathlib import Path
from typing import Any

from service.redis.wire import END, counted, pack, run, sized

_include = re.compile(r"^--- @include (\S+)\n", re.MULTILINE)
_binding = re.compile(r"^local (\w+) *= (KEYS|ARGV)\[(\d+)\]", re.MULTILINE)
_tail = re.compile(r"^local (\w+) *= \{unpack\((KEYS|ARGV), (\d+)\)\}", re.MULTILINE)
_repeats = re.compile(r"^--- Idempotent: ", re.MULTILINE)
_flags = re.compile(r"^--- Flags: (.+)$", re.MULTILINE)
_varies = re.compile(r"^--- Varies: (.+)\.$", re.MULTILINE)

BEGUN = len(b"$7\r\nEVALSHA\r\n$40\r\n\r\n") + 40  # bytes of `begun` for EVALSHA

ONCE = "_once"  # ends the name of a script's second form
_BEFORE = """\
--- @include once
return once(table.remove(KEYS), table.remove(ARGV, #ARGV - 1), table.remove(ARGV), function()
"""


class Malformed(Exception):
    """A script that cannot be composed or whose bindings have gaps; names the script and what is wrong."""


@dataclass(frozen=True, slots=True)
class Script:
    """One composed script. `keys` and `arguments` are names in the order of their positions; `varies` is what its
    header says varies."""

    name: str
    text: str
    keys: tuple[str, ...]
    arguments: tuple[str, ...]
    flags: str
    varies: tuple[str, ...]
    pick: Callable[[dict[str, Any]], tuple[Any, ...]]

    @property
    def writes(self) -> bool:
        return "no-writes" not in self.flags

    def packed(self, sha: str, keys: Sequence[str], arguments: dict[str, Any]) -> bytes:
        """The command that runs the script, as it is sent. hiredis packs all of it, which is a fifth of a PUT with its
        19 arguments; with what does not vary packed before, a PUT takes 113,000 instructions instead of 121,000."""
        picked = self.pick(arguments)
        if not self.varies:
            return pack(("EVALSHA", sha, len(keys), *keys, *picked))
        key, id, body = keys[0].encode(), picked[0].encode(), picked[1]
        if not isinstance(body, bytes):
            body = str(body).encode()
        return b"".join((
            counted(3 + len(keys) + len(picked)), run(("EVALSHA", sha, len(keys))), sized(len(key)), key, END,
            run(tuple(keys[1:])), sized(len(id)), id, END, sized(len(body)), body, END, run(picked[2:]),
        ))  # fmt: skip

    def for_server(self, version: tuple[int, ...]) -> tuple[str, str]:
        """Text and SHA-1 for a server: from 7.0 on with the shebang, so that a full memory refuses a write up front."""
        shebang = f"#!lua flags={self.flags}" if self.flags else "#!lua"
        text = f"{shebang}\n{self.text}" if version >= (7, 0) else self.text
        return text, sha1(text.encode(), usedforsecurity=False).hexdigest()


def begun(command: str, script: str) -> bytes:
    """The beginning of a packed command, behind the count of its words: EVALSHA and a SHA-1, or EVAL and a text."""
    return run((command, script))


def folder() -> Path:
    """`lua/` inside the installed package, or beside it in a checkout."""
    package = Path(__file__).parents[2]
    inside = package / "lua"
    return inside if inside.is_dir() else package.parent / "lua"


def load(where: Path | None = None) -> dict[str, Script]:
    """All scripts by name. Raises Malformed."""
    where = where or folder()
    found = {path.stem: _script(path.stem, where) for path in sorted(where.glob("*.lua"))}
    return found | {name + ONCE: _once(script, where) for name, script in found.items() if _repeats.search(script.text)}


def _script(name: str, where: Path) -> Script:
    source = (where / f"{name}.lua").read_text()
    keys, arguments = _names(name, source)
    flags = _flags.search(source)
    return Script(
        name=name, keys=keys, arguments=arguments, flags=flags[1].strip() if flags else "",
        text=_composed(source, name, where, seen=[], inside=(name,)), varies=_varying(name, source, keys, arguments),
        pick=_picker(arguments, several=any(kind == "ARGV" for _, kind, _ in _tail.findall(source))),
    )  # fmt: skip


def _once(script: Script, where: Path) -> Script:
    """The second form of a script, which takes a key and two arguments more."""
    before = _composed(_BEFORE, script.name, where, seen=[], inside=(script.name,))
    return replace(script, name=script.name + ONCE, text=f"{before}{script.text}end)\n")


def _composed(source: str, name: str, where: Path, seen: list[str], inside: tuple[str, ...]) -> str:
    """The source with each include put in once, before its first use."""

    def insert(match: re.Match[str]) -> str:
        include = match[1]
        if include in inside:
            raise Malformed(f"{name}: includes go round in a circle: {' > '.join((*inside, include))}")
        if include in seen:
            return ""
        path = where / "include" / f"{include}.lua"
        if not path.is_file():
            raise Malformed(f"{name}: there is no include {include!r} (named in {inside[-1]})")
        seen.append(include)
        return _composed(path.read_text(), name, where, seen, (*inside, include)) + "\n"

    return _include.sub(insert, source)


def _names(name: str, source: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names bound to keys and arguments, checked to run 1, 2, 3... without a gap."""
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
    """What the header says that varies, if it says so. Raises Malformed where that is not the first of its kind."""
    if (found := _varies.search(source)) is None:
        return ()
    named = tuple(found[1].split(", "))
    if named != (*keys[:1], *arguments[:2]):
        raise Malformed(f"{name}: what varies has to be bound to KEYS[1], ARGV[1] and ARGV[2]: {', '.join(named)}")
    return named


def _picker(names: tuple[str, ...], *, several: bool) -> Callable[[dict[str, Any]], tuple[Any, ...]]:
    """From arguments by name to arguments in order; KeyError names the one that is missing. `several`: the last one is
    any number of them."""
    if several:
        first = _picker(names[:-1], several=False)
        return lambda given: (*first(given), *given[names[-1]])
    if len(names) > 1:
        return itemgetter(*names)
    return lambda given: tuple(given[name] for name in names)


def _write(scripts: dict[str, Script], where: Path) -> None:
    for script in scripts.values():
        (where / f"{script.name}.lua").write_text(script.text)
    for path in sorted((folder() / "include").glob("*.lua")):
        text = _composed(path.read_text(), path.stem, folder(), seen=[], inside=(path.stem,))
        (where / f"include_{path.stem}.lua").write_text(f"{text}return {path.stem}\n")


def main(arguments: list[str]) -> None:
    scripts = load()
    if len(arguments) == 2 and arguments[0] == "--all":
        _write(scripts, Path(arguments[1]))
    elif len(arguments) == 1 and arguments[0] in scripts:
        print(scripts[arguments[0]].text, end="")
    else:
        sys.exit(f"usage: python -m service.storage.scripts.library {{{','.join(scripts)}}} | --all DIR")


if __name__ == "__main__":
    main(sys.argv[1:])
