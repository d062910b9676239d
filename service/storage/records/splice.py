r"""JSON merge patch (RFC 7386) on the text of large documents; lua/include/splice.lua does it for small ones in Redis.

Members that the patch does not name keep their bytes: order, white space, escapes, texts of numbers. Both
implementations give the same bytes, by these rules:

- A member owns the bytes from the end of the value before it (or from the brace) to the end of its own value: white
  space, the comma, its name and value. Removing the member removes exactly these bytes. If another member becomes the
  first one, its bytes up to its comma are removed, too. White space between the last value and the brace stays.
- A changed member gets the bytes of the patch's value in place of its own value's. If several members have this name,
  each of them is changed.
- A new member comes after the last value: a comma, if there is a member before it, then the patch's bytes from the
  name to the end of the value. New members have the order of the patch.
- A value of the patch is inserted without its null members (except those inside of arrays), which are removed by the
  same rule. If several of its members have one name, the last one counts, and the others are removed like null ones.
- If the patch is not an object, it is the result, byte for byte. If the target is not an object, the result is the
  patch without its null members.

A regular expression passes over whole values in C, and no function is recursive, so the depth is not limited by the
stack.
"""

import re
from collections.abc import Callable, Iterator
from typing import cast

import orjson
from msgspec import DecodeError, Raw
from msgspec.json import Decoder

from service.storage.errors import TooLarge

LONGEST = 512 * 1024 * 1024  # bytes: the longest string that Redis holds

DEPTH = 32  # levels of brackets that one match passes over
PATIENCE = 32  # members that are read one by one before the patch's names are searched for ahead
NAMES = 8  # a patch object with more names is not searched for
NEAR = 1024  # bytes in which the regular expression searches for the end of a value
WINDOW = 4096  # bytes searched ahead at first; grows with success, so that small objects in large texts stay cheap

OPEN, NULL, BRACKETS = ord("{"), ord("n"), b"[{"
CLOSE = {ord("["): b"]", OPEN: b"}"}

_Match = Callable[[bytes, int], re.Match[bytes]]  # the `match` of an expression that always matches

# An empty alternative ends each repetition of a group: before Python 3.11.5 a possessive one that ends by a failed try
# does not go back to where that try began.
_string = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_scalar = rb'[^][{}",\s]++'
_inside = rb'[^][{}"]++|' + _string
for _ in range(DEPTH):
    _nested = rb"[{[](?:" + _inside + rb"|)*+[]}]"
    _inside = rb'[^][{}"]++|' + _string + rb"|" + _nested
_flat_value = _string + rb"|" + _scalar
_any_value = _flat_value + rb"|" + _nested
_space = cast(_Match, re.compile(rb"\s*+").match)
_member = re.compile(rb'[\s,]*+"([^"\\]*+(?:\\.[^"\\]*+)*+)"\s*+:\s*+(' + _flat_value + rb")?").match
_whole = re.compile(_nested).match
_skip = Decoder(Raw).decode
_following = re.compile(r"JSON is malformed: trailing characters \(byte ([0-9]+)\)").fullmatch
_shallow = cast(_Match, re.compile(rb"(?:" + _inside + rb"|)*+").match)
_members = re.compile(rb'(?:[\s,]*+"[^"\\]*+"\s*+:\s*+(?:' + _any_value + rb")(?=\s*+[,}])|)*+")

Task = Iterator["Task"]  # one level of a recursion: yields the levels below it, and continues when each has ended


def splice(target: bytes, patch: bytes, limit: int = LONGEST, *, flat: bool = False) -> bytes:
    """Return the text of `target` with the merge patch applied.

    Both are valid JSON in UTF-8, without lone surrogates. `flat`: null is a value like others, and members that
    are objects are replaced, not merged. Raises TooLarge if the result would be longer than `limit` bytes,
    before it takes that memory: one value may replace many members of one name.
    """
    start = _space(patch, 0).end()
    if patch[start] != OPEN:
        return patch
    whole = _Object(start)
    _run(_read(patch, whole, flat))
    at = _space(target, 0).end()
    if target[at] != OPEN:
        return patch[:start] + whole.text(patch) + patch[whole.stop :]
    splicing = _Splicing(target, patch, limit)
    _run(splicing.merge(at, whole))
    return splicing.result()


def _run(task: Task) -> None:
    """Run a recursion of any depth: JSON may have 1,024 levels, which is too deep for Python's calls."""
    tasks = [task]
    while tasks:
        below = next(tasks[-1], None)
        if below is None:
            tasks.pop()
        else:
            tasks.append(below)


def _stop(text: bytes, start: int) -> int:
    """Return the end of the array or object that begins at `start`.

    msgspec passes over long ones, at some 3 ns a byte: its error message has the byte at which something
    follows the value. A value that is nested too deep for it is read level by level.
    """
    match = _whole(text, start, start + NEAR)
    if match:
        return match.end()
    if follows := _follows(memoryview(text)[start:]):
        return text.rindex(CLOSE[text[start]], start, start + follows - _first) + 1
    depth = 0
    while True:
        start = _shallow(text, start).end()
        depth += 1 if text[start] in BRACKETS else -1
        start += 1
        if depth == 0:
            return start


def _follows(text: bytes | memoryview) -> int:
    """Return the byte at which msgspec finds something after a value and white space; 0 if it does not say."""
    try:
        _skip(text)
    except RecursionError:
        pass
    except DecodeError as error:
        if found := _following(str(error)):
            return int(found[1])
    return 0


_first = _follows(b"[]!") - 2  # of the bytes as msgspec counts them


def _unescaped(name: bytes) -> bytes:
    return cast(str, orjson.loads(b'"%b"' % name)).encode() if b"\\" in name else name


class _Member:
    """A member of the patch, as positions in its text: `start` and `stop` bound its value; its bytes begin at
    `own`.

    A `gone` member is never inserted. `seen` is the object of the target in which this member was found last.
    """

    __slots__ = ("gone", "own", "seen", "start", "stop")

    dirty = False

    def __init__(self, start: int, stop: int = 0, own: int = 0, gone: bool = False) -> None:
        self.start, self.stop, self.own, self.gone, self.seen = start, stop, own, gone, -1

    def text(self, patch: bytes) -> bytes:
        """Return the value as it is inserted."""
        return patch[self.start : self.stop]


class _Object(_Member):
    """A member that is an object, or the whole patch.

    `members` has all members by name, `kept` those that are inserted; `last` is the end of the last value. It
    is `dirty` if some members are not inserted, at any level.
    """

    __slots__ = ("_text", "dirty", "kept", "last", "members")

    def __init__(self, start: int, own: int = 0) -> None:
        super().__init__(start, own=own)
        self.members: dict[bytes, _Member] = {}
        self.kept: list[_Member] = []
        self.last, self.dirty = start + 1, False
        self._text: bytes | None = None

    def text(self, patch: bytes) -> bytes:
        if self._text is None:  # cached, because many members of the target may have this name
            cuts = [self.start]
            if self.dirty:
                _run(_cut(self, cuts))
            cuts.append(self.stop)
            self._text = b"".join([patch[cuts[i] : cuts[i + 1]] for i in range(0, len(cuts), 2)])
        return self._text


def _read(patch: bytes, object: _Object, flat: bool) -> Task:
    """Read the members of the patch's object."""
    members, last, count = object.members, object.start + 1, 0
    while match := _member(patch, last):
        start, stop = match.span(2)
        member: _Member
        if stop < 0 and patch[match.end()] == OPEN and not flat:
            member = below = _Object(match.end(), last)
            yield _read(patch, below, flat)
            object.dirty |= below.dirty
        elif stop < 0:
            member = _Member(match.end(), _stop(patch, match.end()), last)
        else:
            member = _Member(start, stop, last, patch[start] == NULL and not flat)
        name = _unescaped(match[1])
        members.pop(name, None)  # so that members have the order of their last occurrences
        members[name] = member
        last, count = member.stop, count + 1
    object.last, object.stop = last, patch.index(b"}", last) + 1
    object.kept = kept = [member for member in members.values() if not member.gone]
    object.dirty |= len(kept) < count
    if kept and kept[0].own > object.start + 1:
        kept[0].own = patch.index(b",", kept[0].own) + 1


def _cut(object: _Object, cuts: list[int]) -> Task:
    """Append the start and the end of each range of bytes that is not inserted."""
    edge = object.start + 1
    for member in object.kept:
        if member.own > edge:
            cuts += (edge, member.own)
        if isinstance(member, _Object) and member.dirty:
            yield _cut(member, cuts)
        edge = member.stop
    if object.last > edge:
        cuts += (edge, object.last)


class _Splicing:
    """One pass over the target. The new text is `out`, then the target from `run` on."""

    def __init__(self, target: bytes, patch: bytes, limit: int) -> None:
        self._target, self._patch, self._limit = target, patch, limit
        self._out = bytearray()
        self._run = 0
        self._last = 0  # the end of the object that was merged last

    def result(self) -> bytes:
        if self._run == 0:
            return self._target
        self._put(self._target[self._run :])
        return bytes(self._out)

    def merge(self, at: int, object: _Object) -> Task:
        """Merge the patch's object into the target's object at `at`."""
        text, members = self._target, object.members
        last, kept, walked, window = at + 1, False, 0, WINDOW
        while True:
            if walked >= PATIENCE:
                last, walked, window = self._ahead(last, members, window)
            match = _member(text, last)
            if match is None:
                break
            start, stop = match.span(2)
            change = members.get(_unescaped(match[1]))
            if not kept and (change is None or not change.gone):
                self._run = self._run if last == at + 1 else text.index(b",", last) + 1
                kept = True
            if stop < 0:
                start = match.end()
                if isinstance(change, _Object) and text[start] == OPEN:
                    yield self.merge(start, change)
                    last, change.seen = self._last, at
                    continue
                stop = _stop(text, start)
            if change is None:
                walked += 1
            else:
                self._change(last, start, stop, change)
                change.seen = at
            last = stop
        self._add(at, last, kept, object)
        self._last = text.index(b"}", last) + 1

    def _ahead(self, last: int, members: dict[bytes, _Member], window: int) -> tuple[int, int, int]:
        """Pass over whole members that the patch does not name. Return the new `last`, `walked` and `window`."""
        if len(members) > NAMES:
            return last, 0, window
        limit = last + window
        for name in members:
            place = self._target.find(b'"%b"' % name, last, limit)
            limit = limit if place < 0 else place
        passed = _members.match(self._target, last, limit)
        stop = passed.end() if passed else last
        if stop - last > window // 2:
            return stop, PATIENCE, window * 2
        return stop, PATIENCE if stop > last else 0, WINDOW

    def _change(self, before: int, start: int, stop: int, change: _Member) -> None:
        """Replace the value between `start` and `stop`, or remove its member, whose bytes begin at `before`."""
        self._put(self._target[self._run : before if change.gone else start])
        if not change.gone:
            self._put(change.text(self._patch))
        self._run = stop

    def _add(self, at: int, last: int, kept: bool, object: _Object) -> None:
        """Insert the members that the object at `at` lacks after `last`, in time linear in both objects'
        members.
        """
        patch = self._patch
        for member in object.kept:
            if member.seen != at:
                comma = b"," if kept else b""
                name = patch[patch.index(b'"', member.own) : member.start]
                self._put(self._target[self._run : last] + comma + name + member.text(patch))
                self._run, kept = last, True

    def _put(self, piece: bytes) -> None:
        if len(self._out) + len(piece) > self._limit:
            raise TooLarge(f"the result must have at most {self._limit} bytes")
        self._out += piece
