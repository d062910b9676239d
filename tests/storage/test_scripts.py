"""Tests the loader of scripts: includes, the declared keys and arguments, and the library sent to servers."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.exceptions import ResponseError

from service.redis.wire import pack
from service.storage.scripts import library
from service.storage.scripts.library import Malformed, load
from tests.lengths import examples
from tests.servers import RedisProcess

HEADER = "--- What it does.\n"
INSTALLED = library.installed().scripts
SCRIPTS = {name: script for name, script in INSTALLED.items() if script.varies and not name.endswith(library.ONCE)}


def write(folder: Path, **sources: str) -> Path:
    """Scripts, and as `include_NAME` includes."""
    (folder / "include").mkdir(exist_ok=True)
    for name, source in sources.items():
        place = folder / "include" / f"{name.removeprefix('include_')}.lua"
        (place if name.startswith("include_") else folder / f"{name}.lua").write_text(source)
    return folder


def test_an_include_is_inserted_once_and_before_its_users(tmp_path: Path) -> None:
    write(
        tmp_path,
        go="--- @include one\n--- @include two\nreturn one() + two()\n",
        include_one="--- @include deep\nlocal function one() return deep() end\n",
        include_two="--- @include deep\n--- @include one\nlocal function two() return one() end\n",
        include_deep="local function deep() return 1 end\n",
    )
    text = load(tmp_path).scripts["go"].text
    places = [text.index(f"local function {name}") for name in ("deep", "one", "two")]
    assert places == sorted(places)
    assert [text.count(f"local function {name}") for name in ("deep", "one", "two")] == [1, 1, 1]
    assert "@include" not in text


def test_circular_includes_are_refused_by_name(tmp_path: Path) -> None:
    write(tmp_path, go="--- @include one\n", include_one="--- @include two\n", include_two="--- @include one\n")
    with pytest.raises(Malformed, match=r"go: includes go round in a circle: go > one > two > one"):
        load(tmp_path)


def test_an_include_of_itself_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Malformed, match="go > one > one"):
        load(write(tmp_path, go="--- @include one\n", include_one="--- @include one\n"))


def test_an_unknown_include_is_refused_by_name_and_place(tmp_path: Path) -> None:
    write(tmp_path, go="--- @include one\n", include_one="--- @include nothing\n")
    with pytest.raises(Malformed, match=r"go: there is no include 'nothing' \(named in one\)"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("local a = KEYS[1]\nlocal b = KEYS[3]\n", r"the bindings of KEYS have a gap: \[1, 3\]"),
        ("local a = ARGV[2]\n", r"the bindings of ARGV have a gap: \[2\]"),
        ("local a = ARGV[0]\n", r"the bindings of ARGV have a gap: \[0\]"),
        ("local a = KEYS[1]\nlocal b = KEYS[1]\n", r"KEYS\[1\] is bound twice"),
        ("local a = KEYS[1]\nlocal rest = {unpack(KEYS, 3)}\n", r"the bindings of KEYS have a gap: \[1, 3\]"),
    ],
)
def test_bindings_with_a_gap_are_refused(tmp_path: Path, source: str, fault: str) -> None:
    with pytest.raises(Malformed, match=f"go: {fault}"):
        load(write(tmp_path, go=HEADER + source))


def test_the_binding_lines_are_the_interface(tmp_path: Path) -> None:
    write(
        tmp_path,
        go="local record = KEYS[1] -- a\nlocal rest = {unpack(KEYS, 2)} -- b\nlocal b   = ARGV[2] -- c\n"
        "local a = ARGV[1]\n  local inner = ARGV[7] -- indented: no binding\n",
        all="local records = {unpack(KEYS, 1)} -- all of them\nlocal one = ARGV[1]\n",
        none="return 1\n",
    )
    found = load(tmp_path).scripts
    assert (found["go"].keys, found["go"].arguments) == (("record", "rest"), ("a", "b"))
    assert found["go"].pick({"b": 2, "a": 1, "more": 3}) == (1, 2)
    assert (found["all"].keys, found["all"].pick({"one": 1})) == (("records",), (1,))
    assert (found["none"].keys, found["none"].pick({})) == ((), ())


def test_an_argument_that_is_missing_is_named(tmp_path: Path) -> None:
    write(tmp_path, go="local a = ARGV[1]\nlocal b = ARGV[2]\n", one="local c = ARGV[1]\n")
    found = load(tmp_path).scripts
    with pytest.raises(KeyError, match="b"):
        found["go"].pick({"a": 1})
    with pytest.raises(KeyError, match="c"):
        found["one"].pick({})


def test_the_last_arguments_may_be_missing(tmp_path: Path) -> None:
    bound = (
        "local key = KEYS[1] -- a\nlocal a = ARGV[1] -- b\nlocal b = ARGV[2] or '' -- c\nlocal c = ARGV[3] or '' -- d\n"
    )
    script = load(write(tmp_path, go=HEADER + bound)).scripts["go"]
    assert (script.arguments, script.optional) == (("a", "b", "c"), 2)
    sent = {(b, c): script.packed(["k"], {"a": "", "b": b, "c": c}) for b in ("", "1") for c in ("", "2")}
    head = ("FCALL", script.function, 1, "k", "")
    assert sent == {
        ("", ""): pack(head),
        ("1", ""): pack((*head, "1")),
        ("", "2"): pack((*head, "", "2")),
        ("1", "2"): pack((*head, "1", "2")),
    }


def test_only_the_last_arguments_may_be_missing(tmp_path: Path) -> None:
    with pytest.raises(Malformed, match=r"^go: only the last arguments may be missing: a$"):
        load(write(tmp_path, go=HEADER + "local a = ARGV[1] or ''\nlocal b = ARGV[2]\n"))


BINDINGS = (
    "local record = KEYS[1]\nlocal more = KEYS[2]\nlocal id = ARGV[1]\nlocal body = ARGV[2]\nlocal by = ARGV[3]\n"
)


@pytest.mark.parametrize(
    "said", ["record, id", "id, body", "record, id, by", "record, body, id", "more, id, body", "record, id, body, by"]
)
def test_the_varying_parts_of_a_call_are_the_first_key_and_the_first_two_arguments(tmp_path: Path, said: str) -> None:
    write(tmp_path, go=f"{HEADER}--- Varies: {said}.\n\n{BINDINGS}")
    with pytest.raises(Malformed, match=rf"^go: what varies has to be bound to KEYS\[1\].*: {said}$"):
        load(tmp_path)


def test_the_varying_parts_of_a_call_are_required(tmp_path: Path) -> None:
    write(tmp_path, go=f"{HEADER}--- Varies: record, id, body.\nlocal record = KEYS[1]\nlocal id = ARGV[1]\n")
    with pytest.raises(Malformed, match="go: what varies"):
        load(tmp_path)


def test_the_scripts_of_small_writes_declare_their_varying_parts() -> None:
    found = library.installed().scripts
    varying = {name for name, script in found.items() if script.varies and not name.endswith(library.ONCE)}
    assert varying == {"append", "create", "delete", "merge", "put"}
    assert {name for name in varying if found[name].journaled} == {"create", "delete", "put"}
    for name in varying:
        script = found[name]
        assert script.varies == (script.keys[0], *script.arguments[:2])


WORDS = st.one_of(st.text(), st.integers(), st.binary())


@examples(60, 300)
@given(st.data())
def test_a_prepacked_call_equals_the_packing_of_hiredis(data: st.DataObject) -> None:
    script = SCRIPTS[data.draw(st.sampled_from(sorted(SCRIPTS)))]
    key, id = data.draw(st.tuples(st.text(), st.text()))
    arguments = {name: data.draw(WORDS, name) for name in script.arguments} | {script.arguments[0]: id}
    count = len(script.keys)
    names = (key, *data.draw(st.lists(st.text(), min_size=count - 1)))
    given = list(script.pick(arguments))
    while len(given) > len(script.arguments) - script.optional and given[-1] == "":
        del given[-1]
    if script.journaled:
        arguments["journal"] = data.draw(st.binary(), "journal")
        given += [arguments["journal"]] if arguments["journal"] else []
    words = ("FCALL", script.function, len(names), *names, *given)
    assert script.packed(names, arguments) == pack(words)
    assert script.packed(names, arguments) == pack(words)  # from what was kept
    assert script.packed(names, arguments, (b"fingerprint", "")) == pack((*words, b"fingerprint", ""))


TWO = {"one": HEADER + "--- Idempotent: if.\nreturn KEYS[1]\n", "two": HEADER + "--- Flags: no-writes\nreturn 2\n"}


def test_the_names_of_a_library_and_its_functions_have_the_digest_of_its_text(tmp_path: Path) -> None:
    where = write(tmp_path, **TWO, include_once="local function once() return 1 end\n")
    first = load(where)
    assert first.text == load(where).text
    assert first.name == f"polystow_{first.digest}"
    assert first.text.startswith(f"#!lua name={first.name}\n")
    assert {name: script.function for name, script in first.scripts.items()} == {
        "one": f"one_{first.digest}",
        "one_once": f"one_once_{first.digest}",
        "two": f"two_{first.digest}",
    }
    assert (first.scripts["one_once"].writes, first.scripts["two"].writes) == (True, False)
    (where / "two.lua").write_text(TWO["two"] + "-- no more\n")
    second = load(where)
    assert second.digest != first.digest
    assert second.scripts["one"].function != first.scripts["one"].function


def test_a_library_has_each_include_once_and_before_all_scripts() -> None:
    text = library.installed().text
    begun = text.index("\ndo\nlocal function operation(")
    for path in (library.folder() / "include").glob("*.lua"):
        assert text.count(f"\nlocal function {path.stem}(") == 1
        assert text.index(f"\nlocal function {path.stem}(") < begun
    assert "@include" not in text


def test_the_name_of_an_include_is_not_a_name_of_lua(redis: RedisProcess) -> None:
    """In the library, the include would hide the function of this name from all later code."""
    for path in (library.folder() / "include").glob("*.lua"):
        assert redis.command("EVAL", f"return rawget(_G, '{path.stem}') and 1", 0) is None
        assert redis.command("EVAL", f"return pcall(function() return {path.stem} end) and 1", 0) is None, path.stem


def test_a_library_looks_up_each_function_of_lua_once(redis: RedisProcess, tmp_path: Path) -> None:
    """Each function does, also the second one of a script, whichever is called first; strings and comments stay."""
    write(
        tmp_path,
        go=f"{HEADER}--- Idempotent: if.\n--- @include one\nreturn one(string.upper(ARGV[1])) -- string.upper\n",
        other=f"{HEADER}return redis.call('PING')\n",
        include_one="local function one(text) return table.concat({text, string.lower(text)}) end\n",
        include_once="local function once(a, b, c, write) return write() end\n",
    )
    whole = load(tmp_path)
    assert "return one(string_upper(ARGV[1])) -- string.upper\n" in whole.text
    for name, arguments in (("go_once", ("a", "f", "r")), ("go", ("a",)), ("other", ())):
        redis.command("FUNCTION", "LOAD", "REPLACE", whole.text)
        reply = redis.command("FCALL", whole.scripts[name].function, 1, "k", *arguments)
        assert reply == (b"PONG" if name == "other" else b"Aa"), name
    redis.command("FUNCTION", "DELETE", whole.name)


def test_both_forms_of_the_time_are_equal(redis: RedisProcess) -> None:
    clock = (library.folder() / "include" / "now.lua").read_text()
    for micros, text in (("0", "1700000000000000"), ("42", "1700000000000042"), ("999999", "1700000000999999")):
        given = f"local redis = {{call = function() return {{'1700000000', '{micros}'}} end}}\n"
        reply = redis.command("EVAL", f"{given}{clock}local at, moment = now()\nreturn {{at, moment}}", 0)
        assert reply == [int(text), text.encode()]


def test_each_function_is_loaded_with_its_flags(redis: RedisProcess) -> None:
    whole = library.installed()
    redis.command("FUNCTION", "FLUSH")
    assert redis.command("FUNCTION", "LOAD", whole.text).decode() == whole.name
    [said] = redis.command("FUNCTION", "LIST", "LIBRARYNAME", whole.name)
    assert {each[b"name"].decode(): {flag.decode() for flag in each[b"flags"]} for each in said[b"functions"]} == {
        script.function: set(script.flags) for script in whole.scripts.values()
    }


def test_refusals_of_a_function_are_counted_by_their_word(redis: RedisProcess, tmp_path: Path) -> None:
    refusing = load(write(tmp_path, go=HEADER + "return redis.error_reply('DENIED you may not')\n"))
    redis.command("CONFIG", "RESETSTAT")
    redis.command("FUNCTION", "LOAD", "REPLACE", refusing.text)
    with pytest.raises(ResponseError, match=r"^DENIED you may not$"):
        redis.command("FCALL", refusing.scripts["go"].function, 0)
    redis.command("FUNCTION", "DELETE", refusing.name)
    assert redis.command("INFO", "errorstats")["errorstat_DENIED"] == {"count": 1}


def test_the_command_prints_the_library(capsys: pytest.CaptureFixture[str]) -> None:
    library.main([])
    assert capsys.readouterr().out == library.installed().text


def test_the_command_writes_all_scripts_and_each_include(tmp_path: Path) -> None:
    """An include that leaned on a name of its includer would show as an undefined variable to luacheck."""
    library.main(["--all", str(tmp_path)])
    names = {name for name in INSTALLED if not name.endswith(library.ONCE)}
    includes = {f"include_{path.stem}" for path in (library.folder() / "include").glob("*.lua")}
    assert {path.stem for path in tmp_path.glob("*.lua")} == {"library", *includes, *names}
    alone = (tmp_path / "include_keep.lua").read_text()
    assert alone.endswith("return keep\n")
    assert "local function expire" in alone
    assert "KEYS" not in alone


@pytest.mark.parametrize("arguments", [["put"], ["--all"], ["put", "get"]])
def test_the_command_prints_its_usage(arguments: list[str]) -> None:
    with pytest.raises(SystemExit, match="usage"):
        library.main(arguments)
