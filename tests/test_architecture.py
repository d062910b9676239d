"""Rules of the code: layers of imports, one name for each operation, sizes and style.

Each rule goes over all files, so it holds for a new module, script or dialect without being changed.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import pytest

from service.storage.errors import BY_WORD
from service.storage.scripts import library

ROOT = Path(__file__).parent.parent
LUA = ROOT / "lua"
MODULES = sorted((ROOT / "service").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
MEASUREMENTS = sorted((ROOT / "bench").rglob("*.py"))
DIALECTS = sorted(path for path in (ROOT / "service" / "dialects").iterdir() if path.is_dir() and path.name[0] != "_")
OPERATIONS = sorted(LUA.glob("*.lua"))
INCLUDES = sorted((LUA / "include").glob("*.lua"))


def named(path: Path) -> str:
    """The module's dotted name."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")  # the fields of a statement that contain statements


class Function(NamedTuple):
    """The facts about a function that rules here ask for."""

    name: str
    lines: int
    parameters: int
    decorated: bool
    catches: bool


class Module(NamedTuple):
    """The facts about a module that rules here ask for. They are kept instead of its tree, which costs collections."""

    lines: int
    docstring: str | None
    docstrings: list[str]
    imports: set[str]
    functions: list[Function]
    methods: set[str]


def statements(node: ast.AST) -> Iterator[ast.AST]:
    """Yield a statement and all statements inside of it. Expressions are passed over: they contain no statement."""
    left = [node]
    while left:
        node = left.pop()
        yield node
        for block in BLOCKS:
            left += getattr(node, block, ())


def imported(node: ast.AST) -> set[str]:
    """Return the modules that a statement imports, also for the type checker; `from x import y` yields x and x.y."""
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names}
    if isinstance(node, ast.ImportFrom):
        return {str(node.module)} | {f"{node.module}.{alias.name}" for alias in node.names}
    return set()


def described(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Function:
    """Return the facts about a function."""
    return Function(
        name=node.name,
        lines=(node.end_lineno or 0) - node.lineno + 1,
        parameters=len(node.args.args) + len(node.args.kwonlyargs) - (node.name == "__init__"),
        decorated=bool(node.decorator_list),
        catches=any(isinstance(each, ast.Try) for each in statements(node)),
    )


@cache
def parsed(path: Path) -> Module:
    """Parse a module, once for all rules."""
    text = path.read_text()
    tree = ast.parse(text)
    found = Module(len(text.splitlines()), ast.get_docstring(tree), [], set(), [], set())
    for node in statements(tree):
        found.imports.update(imported(node))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.functions.append(described(node))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found.docstrings.append(ast.get_docstring(node) or "")
        if isinstance(node, ast.ClassDef) and node in tree.body:
            found.methods.update(
                each.name for each in node.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
            )
    return found


@cache
def imports() -> dict[str, set[str]]:
    """Return the imports of each module of the service."""
    return {named(path): parsed(path).imports for path in MODULES}


def within(module: str, *packages: str) -> bool:
    return any(module == package or module.startswith(package + ".") for package in packages)


def strays(package: str, *allowed: str) -> list[str]:
    """Return the imports of this service, by modules of a package, that are not allowed."""
    return [
        f"{module} imports {name}"
        for module, names in imports().items()
        if within(module, package)
        for name in names
        if within(name, "service") and name != "service" and not within(name, *allowed)
    ]


# Layers. -------------------------------------------------------------------------------------------------------------


def test_the_redis_layer_imports_nothing_of_the_service() -> None:
    assert strays("service.redis", "service.redis") == []


def test_storage_imports_only_the_redis_layer() -> None:
    assert strays("service.storage", "service.storage", "service.redis") == []


@pytest.mark.parametrize("dialect", [path.name for path in DIALECTS])
def test_a_dialect_imports_the_contract_and_no_other_dialect(dialect: str) -> None:
    own = f"service.dialects.{dialect}"
    assert strays(own, own, "service.api", "service.storage") == []


def test_a_dialect_imports_neither_http_server_nor_redis_nor_scripts() -> None:
    foreign = ("aiohttp", "redis", "hiredis", "uvloop", "service.redis", "asyncio", "socket")
    machinery = ("libraries", "scripts.runner", "scripts.library", "scripts.reply", "fsck", "sweeper", "registry")
    found = [
        f"{module} imports {name}"
        for module, names in imports().items()
        if within(module, "service.dialects") and module != "service.dialects"
        for name in names
        if within(name, *foreign, *(f"service.storage.{each}" for each in machinery))
    ]
    assert found == []


def test_storage_is_used_through_its_operations_only() -> None:
    """A dialect does not send commands of its own; tests and measurements use no private member of storage."""
    runner, private = re.compile(r"\bstorage\.runner\b"), re.compile(r"\bstorage(\.\w+)*\._\w")
    dialects, others = (ROOT / "service" / "dialects").rglob("*.py"), [*TESTS, *MEASUREMENTS]
    found = [path for path in dialects if runner.search(path.read_text())]
    assert found + [path for path in others if private.search(path.read_text())] == []


def test_no_module_outside_of_a_dialect_imports_it() -> None:
    """So a new dialect needs no change of other code."""
    dialects = tuple(f"service.dialects.{path.name}" for path in DIALECTS)
    found = [
        m for m, names in imports().items() if not within(m, *dialects) for name in names if within(name, *dialects)
    ]
    assert found == []


def printed_layers(readme: Path) -> list[tuple[str, ...]]:
    """Return the folders or modules on each line of a README's map, its first indented block, from top to bottom."""
    block = re.search(r"(?:^    .+\n)+", readme.read_text(), re.MULTILINE)
    assert block is not None
    return [
        tuple(re.findall(r"[\w.]+(?:/|\.py)", re.split(r" {3,}", line.strip())[0])) for line in block[0].splitlines()
    ]


@pytest.mark.parametrize("package", ["service", "service/storage"])
def test_each_line_of_the_printed_map_imports_only_lines_below_it(package: str) -> None:
    """Each folder and module is on the map, except the package's own `__init__`."""
    layers = printed_layers(ROOT / package / "README.md")
    level = {
        name.removesuffix("/").removesuffix(".py"): number for number, names in enumerate(layers) for name in names
    }
    folder = ROOT / package
    rooms = {path.name for path in folder.iterdir() if path.is_dir() and any(path.glob("*.py"))}
    assert set(level) == rooms | {path.stem for path in folder.glob("*.py")} - {"__init__"}
    root = package.replace("/", ".")

    def room(module: str) -> str:
        return module.removeprefix(root + ".").split(".")[0]

    wrong = {
        f"{module} imports {name}"
        for module, names in imports().items()
        if within(module, root) and module != root
        for name in names
        if within(name, root) and room(name) in level and room(name) != room(module)
        if level[room(name)] <= level[room(module)]
    }
    assert wrong == set()


def test_there_are_no_circular_imports() -> None:
    """`from package import module` inside of that package does not count as an import of the package."""
    graph = {m: {name for name in set(imports()) & names if not within(m, name)} for m, names in imports().items()}
    TopologicalSorter(graph).prepare()


def test_few_modules_are_at_the_top_level() -> None:
    assert len([path for path in (ROOT / "service").glob("*.py") if path.stem != "__init__"]) <= 8


def test_only_the_demo_imports_the_command_line() -> None:
    assert [module for module, names in imports().items() if "service.__main__" in names] in ([], ["service.demo"])


# One word for one operation. -----------------------------------------------------------------------------------------


@cache
def methods() -> set[str]:
    """Return the names of the public methods of the classes in service/storage."""
    return {
        name
        for path in (ROOT / "service" / "storage").rglob("*.py")
        for name in parsed(path).methods
        if not name.startswith("_")
    }


@pytest.mark.parametrize("verb", [path.stem for path in OPERATIONS])
def test_an_operation_has_one_script_one_method_and_one_test_file(verb: str) -> None:
    assert verb in methods()
    tests = ROOT / "tests" / "storage" / f"test_{verb}.py"
    assert tests.is_file()
    assert "async def test_only_the_expected_keys_remain" in tests.read_text()


def test_each_script_is_called_from_one_place() -> None:
    text = "".join(path.read_text() for path in sorted((ROOT / "service" / "storage").rglob("*.py")))
    calls = re.findall(r'(?:_run|\.run|\.commit|\.admitted)(?:\(|, )\s*"(\w+)"', text)
    assert sorted(calls) == [path.stem for path in OPERATIONS]


def test_each_word_that_a_script_refuses_with_is_a_refusal() -> None:
    """The header of the script names these refusals."""
    composed = library.installed().scripts
    assert set(re.findall(r"'([A-Z]{3,}) [^']", (LUA / "include" / "once.lua").read_text())) <= set(BY_WORD)
    for path in OPERATIONS:
        words = set(re.findall(r"'([A-Z]{3,}) [^']", composed[path.stem].text))
        told = re.search(r"^--- Refuses: (.*?)\.$", path.read_text(), re.MULTILINE | re.DOTALL)
        assert words <= set(BY_WORD), path.name
        assert set(re.findall(r"[A-Z]{3,}", told[1] if told else "")) <= words, path.name


# Lua. ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", OPERATIONS, ids=lambda path: path.stem)
def test_a_script_begins_with_its_description_and_reply(path: Path) -> None:
    lines = path.read_text().splitlines()
    header = "\n".join(line for line in next(group for _, group in groupby(lines, lambda line: line[:4])))
    assert re.match(r"--- [A-Z][^.:]+[.:]", header)
    assert "--- Replies with: " in header
    assert len(lines) <= 60


@pytest.mark.parametrize("path", INCLUDES, ids=lambda path: path.stem)
def test_an_include_defines_one_function_with_its_name(path: Path) -> None:
    text = path.read_text()
    functions = re.findall(r"^local function (\w+)\(", text, re.MULTILINE)
    assert functions == [path.stem]
    assert text.startswith("--- ")
    assert len(text.splitlines()) <= 40


def test_each_argument_of_a_script_has_a_comment() -> None:
    for path in OPERATIONS:
        for line in path.read_text().splitlines():
            if re.match(r"local \w+ *= .*(KEYS|ARGV)", line):
                assert re.search(r" -- \S", line), f"{path.name}: {line}"


def test_no_include_reads_keys_or_arguments_itself() -> None:
    for path in INCLUDES:
        assert not re.search(r"\b(KEYS|ARGV)\b", re.sub(r"--.*", "", path.read_text())), path.name


PACKING = ("packed", "once", "enter_change", "enter_expired", "reenter")


def test_no_document_is_ever_encoded_by_lua() -> None:
    """cjson and cmsgpack change documents. So only headers and replies are packed, and only names are decoded."""
    for path in (*OPERATIONS, *INCLUDES):
        code = re.sub(r"--.*", "", path.read_text())
        assert "cjson.encode" not in code, path.name
        assert ("cmsgpack.pack" in code) == (path.stem in PACKING), path.name
        assert ("cmsgpack.unpack" in code) == (path.stem in ("header", "trim_portion")), path.name


def test_each_include_is_used() -> None:
    text = "".join(path.read_text() for path in (*OPERATIONS, *INCLUDES))
    used = re.findall(r"^--- @include (\w+)$|^--- Idempotent: .*\(include/(once)\.lua\)\.$", text, re.MULTILINE)
    assert {one or other for one, other in used} == {path.stem for path in INCLUDES}


# Sizes and habits. ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [*MODULES, *TESTS], ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_is_short_and_has_a_docstring(path: Path) -> None:
    module = parsed(path)
    assert module.lines <= 400
    assert module.lines == 0 or module.docstring


def test_a_function_is_short() -> None:
    long = [
        f"{path.name}: {function.name} has {function.lines} lines"
        for path in MODULES
        for function in parsed(path).functions
        if function.lines > 60
    ]
    assert long == []


def test_a_function_has_few_parameters() -> None:
    many = [
        f"{path.name}: {function.name} has {function.parameters} parameters"
        for path in MODULES
        for function in parsed(path).functions
        if function.parameters > 8
    ]
    assert many == []


HALF_QUESTION = re.compile(r"(What|Who|Whose|Which|How|Whether|The same|Nor|Tell whether)\b")


def test_a_docstring_begins_with_a_noun_phrase_or_an_imperative() -> None:
    found = [
        f"{path.name}: {docstring.splitlines()[0]}"
        for path in (*MODULES, *TESTS, *MEASUREMENTS)
        for docstring in parsed(path).docstrings
        if HALF_QUESTION.match(docstring)
    ]
    assert found == []


def test_lines_are_laid_out_by_the_formatter() -> None:
    """Only tables may be laid out by hand."""
    marked = sum(path.read_text().count("# fmt: " + "skip") for path in (*MODULES, *TESTS))
    assert marked <= 40


def test_a_handler_catches_nothing() -> None:
    """Storage raises a small family of refusals, and the dialect's `refuse` renders them."""
    found = [
        f"{path.parent.name}/{path.name}: {function.name}"
        for dialect in DIALECTS
        for path in sorted(dialect.rglob("*.py"))
        for function in parsed(path).functions
        if function.catches and (function.decorated or path.name == "handlers.py")
    ]
    assert found == []


def test_no_module_has_a_meaningless_name() -> None:
    nothing = {"utils", "util", "helpers", "helper", "manager", "base", "common", "misc"}
    assert [path.name for path in (*MODULES, *TESTS) if path.stem.removeprefix("test_") in nothing] == []
