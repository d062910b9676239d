"""The loader: includes, the interface in the binding lines, what each server is sent."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.redis.wire import pack
from service.storage.scripts import library as scripts
from service.storage.scripts.library import Malformed, load
from tests.servers import RedisProcess

HEADER = "--- What it does.\n"
SCRIPTS = {name: script for name, script in load().items() if script.varies and not name.endswith(scripts.ONCE)}


def write(folder: Path, **sources: str) -> Path:
    """Scripts, and as `include_NAME` includes."""
    (folder / "include").mkdir(exist_ok=True)
    for name, source in sources.items():
        place = folder / "include" / f"{name.removeprefix('include_')}.lua"
        (place if name.startswith("include_") else folder / f"{name}.lua").write_text(source)
    return folder


def test_an_include_comes_once_and_before_what_uses_it(tmp_path: Path) -> None:
    write(
        tmp_path,
        go="--- @include one\n--- @include two\nreturn one() + two()\n",
        include_one="--- @include deep\nlocal function one() return deep() end\n",
        include_two="--- @include deep\n--- @include one\nlocal function two() return one() end\n",
        include_deep="local function deep() return 1 end\n",
    )
    text = load(tmp_path)["go"].text
    places = [text.index(f"local function {name}") for name in ("deep", "one", "two")]
    assert places == sorted(places)
    assert [text.count(f"local function {name}") for name in ("deep", "one", "two")] == [1, 1, 1]
    assert "@include" not in text


def test_includes_that_go_round_are_refused_by_name(tmp_path: Path) -> None:
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
    found = load(tmp_path)
    assert (found["go"].keys, found["go"].arguments) == (("record", "rest"), ("a", "b"))
    assert found["go"].pick({"b": 2, "a": 1, "more": 3}) == (1, 2)
    assert (found["all"].keys, found["all"].pick({"one": 1})) == (("records",), (1,))
    assert (found["none"].keys, found["none"].pick({})) == ((), ())


def test_an_argument_that_is_missing_is_named(tmp_path: Path) -> None:
    write(tmp_path, go="local a = ARGV[1]\nlocal b = ARGV[2]\n", one="local c = ARGV[1]\n")
    found = load(tmp_path)
    with pytest.raises(KeyError, match="b"):
        found["go"].pick({"a": 1})
    with pytest.raises(KeyError, match="c"):
        found["one"].pick({})


BINDINGS = (
    "local record = KEYS[1]\nlocal more = KEYS[2]\nlocal id = ARGV[1]\nlocal body = ARGV[2]\nlocal by = ARGV[3]\n"
)


@pytest.mark.parametrize(
    "said", ["record, id", "id, body", "record, id, by", "record, body, id", "more, id, body", "record, id, body, by"]
)
def test_what_varies_is_the_first_key_and_the_first_two_arguments(tmp_path: Path, said: str) -> None:
    write(tmp_path, go=f"{HEADER}--- Varies: {said}.\n\n{BINDINGS}")
    with pytest.raises(Malformed, match=rf"^go: what varies has to be bound to KEYS\[1\].*: {said}$"):
        load(tmp_path)


def test_what_varies_has_to_be_there(tmp_path: Path) -> None:
    write(tmp_path, go=f"{HEADER}--- Varies: record, id, body.\nlocal record = KEYS[1]\nlocal id = ARGV[1]\n")
    with pytest.raises(Malformed, match="go: what varies"):
        load(tmp_path)


def test_the_scripts_of_each_small_write_say_what_varies() -> None:
    found = load()
    varying = {name for name, script in found.items() if script.varies and not name.endswith(scripts.ONCE)}
    assert varying == {"append", "create", "delete", "merge", "put"}
    for name in varying:
        script = found[name]
        assert script.varies == (script.keys[0], *script.arguments[:2])


WORDS = st.one_of(st.text(), st.integers(), st.binary())


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_packed_script_is_what_hiredis_packs_of_the_same_words(data: st.DataObject) -> None:
    script = SCRIPTS[data.draw(st.sampled_from(sorted(SCRIPTS)))]
    key, id = data.draw(st.tuples(st.text(), st.text()))
    arguments = {name: data.draw(WORDS, name) for name in script.arguments} | {script.arguments[0]: id}
    count = len(script.keys)
    names = (key, *data.draw(st.lists(st.text(), min_size=count - 1)))
    sha = "0123456789abcdef0123456789abcdef01234567"
    whole = pack(("EVALSHA", sha, len(names), *names, *script.pick(arguments)))
    assert script.packed(sha, names, arguments) == whole
    assert script.packed(sha, names, arguments) == whole  # from what was kept


def test_only_servers_from_7_0_on_are_sent_the_shebang(tmp_path: Path) -> None:
    write(tmp_path, plain=HEADER + "return 1\n", read=HEADER + "--- Flags: no-writes\nreturn 1\n")
    found = load(tmp_path)
    assert found["plain"].for_server((6, 2, 14))[0] == found["plain"].text
    assert found["plain"].for_server((7, 0))[0] == "#!lua\n" + found["plain"].text
    assert found["read"].for_server((8, 1, 0))[0] == "#!lua flags=no-writes\n" + found["read"].text
    assert found["plain"].for_server((6, 2))[1] != found["plain"].for_server((7, 0))[1]
    assert (found["plain"].writes, found["read"].writes) == (True, False)


def test_the_sha_is_the_one_that_redis_makes(redis: RedisProcess) -> None:
    version = tuple(map(int, redis.command("INFO", "server")["redis_version"].split(".")))
    for script in load().values():
        text, sha = script.for_server(version)
        assert redis.command("SCRIPT", "LOAD", text).decode() == sha


def test_the_command_prints_a_composed_script(capsys: pytest.CaptureFixture[str]) -> None:
    scripts.main(["put"])
    assert capsys.readouterr().out == load()["put"].text


def test_the_command_writes_all_scripts_and_each_include_by_itself(tmp_path: Path) -> None:
    """An include that leaned on a name of its includer would show as an undefined variable to luacheck."""
    scripts.main(["--all", str(tmp_path)])
    assert {path.stem for path in tmp_path.glob("*.lua")} >= set(load())
    alone = (tmp_path / "include_keep.lua").read_text()
    assert alone.endswith("return keep\n")
    assert "local function expire" in alone
    assert "KEYS" not in alone


@pytest.mark.parametrize("arguments", [[], ["nothing"], ["--all"], ["put", "get"]])
def test_the_command_says_how_it_is_called(arguments: list[str]) -> None:
    with pytest.raises(SystemExit, match="usage"):
        scripts.main(arguments)
