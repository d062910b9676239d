"""Hypothesis strategies for JSON texts and patches that are hard on a splice: every way to write a name, white space
anywhere, duplicates, strings that look like structure, objects long enough for the searches ahead.
"""

import json

from hypothesis import strategies as st

NAMES = ["a", "b", "c", "name", "ab", "", " x", ",", ":", "}", "]", "},{", ":{", 'a":"b', "a\\", "\\", '"', "\x00"]
NAMES += ["\n", "x/y", "é", "😀", "null"]
STRINGS = ["", "x", "a", "name", "a,b", "{", "}", "[", "]", "],[", '"', "\\", '\\"', 'a"b', ":", ",", 'x,"a":1']
STRINGS += ["long " * 9]
NUMBERS = ["1", "-0", "0", "1.0", "1E400", "-0.1e-7", "100000000000001", "12345678901234567890"]
SHORT = {'"': '\\"', "\\": "\\\\", "/": "\\/", "\n": "\\n"}
SPACES = ["", " ", "\n  ", " \t\r\n", " " * 40]


def written(char: str) -> list[str]:
    """All ways to write a character inside of a JSON string."""
    ways = [] if char in '"\\' or char < " " else [char]
    if char in SHORT:
        ways.append(SHORT[char])
    escaped = json.dumps(char)[1:-1] if char > "~" else f"\\u{ord(char):04x}"
    return [*ways, escaped, escaped.replace("\\ud8", "\\uD8") if char > "~" else f"\\u{ord(char):04X}"]


@st.composite
def strings(draw: st.DrawFn, contents: list[str], escapes: bool) -> str:
    content = draw(st.sampled_from(contents))
    if not escapes:
        return json.dumps(content, ensure_ascii=False)
    return f'"{"".join(draw(st.sampled_from(written(char))) for char in content)}"'


@st.composite
def values(draw: st.DrawFn, depth: int, spaces: list[str], escapes: bool) -> str:
    kinds = ["number", "null", "string", "object", "array"] if depth else ["number", "null", "string"]
    match draw(st.sampled_from(kinds)):
        case "number":
            return draw(st.sampled_from([*NUMBERS, "true", "false"]))
        case "string":
            return draw(strings([*STRINGS, *NAMES], escapes))
        case "object":
            return draw(objects(depth, spaces, escapes))
        case "array":
            space = st.sampled_from(spaces)
            items = draw(st.lists(values(depth - 1, spaces, escapes), max_size=3))
            return f"[{','.join(draw(space) + item + draw(space) for item in items) or draw(space)}]"
    return "null"


@st.composite
def objects(draw: st.DrawFn, depth: int, spaces: list[str], escapes: bool, fillers: int = 0) -> str:
    """Objects with `fillers` simple members at any places, which make the object long."""
    space = st.sampled_from(spaces)
    member = st.tuples(strings(NAMES, escapes), values(depth - 1, spaces, escapes))
    members = draw(st.lists(member, max_size=6))
    if fillers:
        place = draw(st.integers(0, len(members)))
        members[place:place] = [(f'"filler{i}"', ("1", '"x"', '"some longer text"')[i % 3]) for i in range(fillers)]
    texts = [draw(space) + name + draw(space) + ":" + draw(space) + value + draw(space) for name, value in members]
    return f"{{{','.join(texts) or draw(space)}}}"


@st.composite
def pairs(draw: st.DrawFn) -> tuple[str, str]:
    """A target and a patch; most of the targets are objects, and all of the patches are objects or arrays."""
    spaces = draw(st.sampled_from([[""], SPACES]))
    escapes = draw(st.booleans())
    space = st.sampled_from(spaces)
    fillers = draw(st.sampled_from([0, 0, 0, 8, 50]))
    targets = objects(3, spaces, escapes, fillers)
    target = draw(st.one_of(targets, targets, targets, values(1, spaces, escapes)))
    patch = draw(st.one_of(*[objects(3, spaces, escapes)] * 9, st.just("[null]")))
    return draw(space) + target + draw(space), draw(space) + patch + draw(space)


@st.composite
def pairs_of_one(draw: st.DrawFn) -> tuple[str, str]:
    """A target and a patch of one scalar member; most of the targets have a member of that name, at any depth."""
    spaces = draw(st.sampled_from([[""], ["", " "]]))
    escapes = draw(st.sampled_from([False, False, True]))
    name, space = draw(strings(["a", "a", "a", "name", "é", "x/y", ","], escapes)), draw(st.sampled_from(spaces))
    texts = [draw(objects(2, spaces, escapes)), draw(objects(1, spaces, escapes)), draw(values(1, spaces, escapes))]
    members = [f"{name}:{draw(values(draw(st.sampled_from([0, 0, 1])), spaces, escapes))}"]
    members += [f'"b":{text}' for text in draw(st.lists(st.sampled_from(texts), max_size=3))]
    targets = st.one_of(
        st.permutations(members).map(lambda each: f"{{{space}{','.join(each)}}}"), st.sampled_from(texts)
    )
    return draw(targets), f"{{{name}:{space}{draw(values(0, spaces, escapes))}}}"


@st.composite
def large_pairs(draw: st.DrawFn) -> tuple[str, str]:
    """Pairs with a member in front whose value is long, or nested deep, and may end in white space and brackets."""
    spaces = draw(st.sampled_from([[""], SPACES]))
    texts = list(draw(st.tuples(objects(2, spaces, True), objects(2, spaces, True))))
    for place in draw(st.sampled_from([(0,), (1,), (0, 1)])):
        inner = ",".join([draw(values(2, spaces, True))] * draw(st.sampled_from([1, 300])))
        start, end = draw(st.sampled_from([("[", "]"), ('{"a":[', " ]\n}")]))
        depth = draw(st.sampled_from([1, 16, 33, 100]))
        behind = draw(st.sampled_from(["", " ", "\n" * 40]))
        comma = "," if '"' in texts[place] else ""
        name = draw(st.sampled_from(NAMES))
        texts[place] = f"{{{json.dumps(name)}:{start * depth}{inner}{end * depth}{behind}{comma}{texts[place][1:]}"
    return texts[0], texts[1]
