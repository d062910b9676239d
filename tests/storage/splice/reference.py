"""A slow and simple JSON merge patch on text: parses into a tree that keeps every byte, merges, and writes it.

Nothing here is shared with what it checks. The rules about white space are those of service/storage/records/splice.py.
"""

import json
import re
from dataclasses import dataclass, replace

SPACE = " \t\n\r"


@dataclass(frozen=True)
class Raw:
    """Any value but an object, as it is written."""

    text: str


@dataclass(frozen=True)
class Member:
    """A member of an object. `separator` is the text from the value before it, with the comma; '' for the first one."""

    separator: str
    lead: str  # white space before the name
    quoted: str  # the name as it is written
    colon: str  # with the white space around it
    value: "Raw | Object"

    @property
    def name(self) -> str:
        name: str = json.loads(self.quoted)
        return name


@dataclass(frozen=True)
class Object:
    members: tuple[Member, ...]
    tail: str  # white space before the closing brace

    def effective(self) -> list[Member]:
        """The members that count, the last of each name, without those that are null."""
        last = {member.name: member for member in self.members}
        return [member for member in self.members if member is last[member.name] and member.value != Raw("null")]


class Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.place = 0

    def space(self) -> str:
        start = self.place
        while self.place < len(self.text) and self.text[self.place] in SPACE:
            self.place += 1
        return self.text[start : self.place]

    def string(self) -> str:
        start = self.place
        self.place += 1
        while self.text[self.place] != '"':
            self.place += 2 if self.text[self.place] == "\\" else 1
        self.place += 1
        return self.text[start : self.place]

    def value(self) -> Raw | Object:
        start = self.place
        if self.text[start] == "{":
            return self.object()
        if self.text[start] == "[":
            self.array()
        elif self.text[start] == '"':
            self.string()
        else:
            found = re.compile(r"[-+.\w]+").match(self.text, start)
            assert found, self.text[start:]
            self.place = found.end()
        return Raw(self.text[start : self.place])

    def array(self) -> None:
        self.place += 1
        self.space()
        while self.text[self.place] != "]":
            self.place += self.text[self.place] == ","
            self.space()
            self.value()
            self.space()
        self.place += 1

    def object(self) -> Object:
        self.place += 1
        members: list[Member] = []
        separator, lead = "", self.space()
        while self.text[self.place] == '"':
            quoted = self.string()
            before = self.space()
            self.place += 1
            colon = f"{before}:{self.space()}"
            members.append(Member(separator, lead, quoted, colon, self.value()))
            gap = self.space()
            if self.text[self.place] != ",":
                lead = gap
                break
            self.place += 1
            separator, lead = gap + ",", self.space()
        self.place += 1
        return Object(tuple(members), lead)


def write(value: Raw | Object) -> str:
    if isinstance(value, Raw):
        return value.text
    written = [
        f"{member.separator if i else ''}{member.lead}{member.quoted}{member.colon}{write(member.value)}"
        for i, member in enumerate(value.members)
    ]
    return f"{{{''.join(written)}{value.tail}}}"


def inserted(value: Raw | Object) -> Raw | Object:
    """Return a value of the patch as it is inserted if the target has no object in its place."""
    if isinstance(value, Raw):
        return value
    members = (replace(member, value=inserted(member.value)) for member in value.effective())
    return Object(tuple(members), value.tail)


def merged(target: Raw | Object, patch: Raw | Object) -> Raw | Object:
    """RFC 7386, section 2."""
    if isinstance(patch, Raw) or isinstance(target, Raw):
        return inserted(patch)
    changes = {member.name: member for member in patch.members}
    members: list[Member] = []
    for member in target.members:
        change = changes.get(member.name)
        if change is None:
            members.append(member)
        elif change.value != Raw("null"):
            members.append(replace(member, value=merged(member.value, change.value)))
    present = {member.name for member in target.members}
    for member in patch.effective():
        if member.name not in present:
            members.append(replace(member, separator=",", lead="", value=inserted(member.value)))
    return Object(tuple(members), target.tail)


def parse(text: str) -> tuple[str, Raw | Object, str]:
    """The white space before, the value, the white space after."""
    parser = Parser(text)
    lead = parser.space()
    value = parser.value()
    return lead, value, text[parser.place :]


def merge(target: str, patch: str) -> str:
    patch_lead, change, patch_trail = parse(patch)
    lead, value, trail = parse(target)
    if isinstance(change, Raw) or isinstance(value, Raw):
        lead, trail = patch_lead, patch_trail
    return lead + write(merged(value, change)) + trail
