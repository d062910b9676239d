"""Tests that the documentation is complete: each key, setting, script, module and dialect is described in its page."""

import re
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from docs import compatibility
from service.settings import PREFIX, Settings
from service.storage import keys

ROOT = Path(__file__).parent.parent
LUA = ROOT / "lua"
DIALECTS = sorted(path for path in (ROOT / "service" / "dialects").iterdir() if path.is_dir() and path.name[0] != "_")
PARTS = ("service", "lua", "k8s", "bench", "tests")
SCRIPTS = sorted(LUA.rglob("*.lua"))


def test_each_key_is_documented_in_the_module_of_keys() -> None:
    collection = keys.Collection("d", "n", "c", "cusn")
    made = {
        "variables": keys.variables(collection),
        "names": keys.names(collection),
        "listing": keys.listing(collection),
        "newest": keys.newest(collection),
        "lists": keys.lists(collection),
        "users": keys.users("d"),
        "declared": keys.declared("d"),
        "user": keys.user("d"),
        "variable": keys.variable("d"),
        "remembered": keys.remembered(collection.tag, "h"),
        "NAMESPACES": keys.NAMESPACES,
        "GENERATION": keys.GENERATION,
        "SWEEPER": keys.SWEEPER,
        "registry": collection.registry,
        "usage": keys.usage("d", "n"),
        "entry": keys.entry("d", "k", "i"),
        "rate": keys.rate("d", "i"),
        "acl": collection.acl,
        "REVISION": keys.REVISION,
        "SECRET": keys.SECRET,
        "LIBRARIES": keys.LIBRARIES,
        "links": keys.links("d", "k", "i"),
        "record": collection.record("i"),
        "staged": collection.staged("t"),
        "expiry": collection.expiry,
        "journal": collection.journal,
        "journal_state": collection.journal_state,
        "index": collection.index("c"),
        "attachment": collection.attachment("i"),
        "chunk": collection.chunk("B", 0),
        "passwords": keys.passwords("d"),
    }
    rows = re.findall(r"^\| `([^`]+)`(?:, `\w`)* \| \w+ \|", str(keys.__doc__), re.MULTILINE)
    words = {"DIALECT": "d", "NAMESPACE": "n", "COLLECTION": "c", "ID": "i", "TOKEN": "t", "KIND": "k"}
    words |= {"BLOB": "B", "NUMBER": "0", "DIGEST": "h"}
    documented = {re.sub("|".join(words), lambda match: words[match[0]], row) for row in rows}
    assert documented == set(made.values())
    spelled = {
        name for name in vars(keys.Collection) if name in ("record", "staged", "index", "attachment", "chunk")
    } | {
        name
        for name, value in vars(keys).items()
        if not name.startswith("_") and (name.isupper() or getattr(value, "__module__", "") == keys.__name__)
    }
    # The other functions make no keys: they make names inside of keys, or parse keys.
    assert spelled - set(made) == {
        "Collection",
        "collection",
        "escape",
        "namespace",
        "parse",
        "parse_namespace",
        "parse_shared",
        "parse_variables",
    }


@pytest.mark.parametrize("setting", [PREFIX + field.name.upper() for field in fields(Settings)])
def test_each_setting_is_documented(setting: str) -> None:
    assert f"`{setting}`" in (ROOT / "docs" / "configuration.md").read_text()


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120


def test_the_glossary_has_few_entries_in_alphabetical_order() -> None:
    text = (ROOT / "docs" / "GLOSSARY.md").read_text()
    terms = [term for term in re.findall(r"^\| ([^|]+?) \|", text, re.MULTILINE) if term not in ("term", "---")]
    assert terms == sorted(terms)
    assert len(terms) <= 25


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_each_script_is_in_the_readme_of_its_folder(path: Path) -> None:
    assert f"`{path.relative_to(LUA)}`" in (LUA / "README.md").read_text()


@pytest.mark.parametrize("dialect", [path.name for path in DIALECTS])
def test_each_dialect_is_in_the_readme_of_its_folder(dialect: str) -> None:
    assert dialect in (ROOT / "service" / "dialects" / "README.md").read_text()


@pytest.mark.parametrize("folder", ["redis", "storage"])
def test_each_module_is_in_the_readme_of_its_folder(folder: str) -> None:
    readme = (ROOT / "service" / folder / "README.md").read_text()
    modules = [
        str(path.relative_to(ROOT / "service" / folder))
        for path in sorted((ROOT / "service" / folder).rglob("*.py"))
        if path.stem != "__init__"
    ]
    assert [name for name in modules if f"`{name}`" not in readme] == []


def test_each_module_of_the_service_is_in_its_map() -> None:
    """A folder with a README of its own has its modules there."""
    readme = (ROOT / "service" / "README.md").read_text()
    rooms = [
        ROOT / "service",
        *(
            ROOT / "service" / name
            for name in ("api", "http", "openapi", "operations", "process", "remote", "verification", "migration")
        ),
    ]
    modules = [path.name for room in rooms for path in sorted(room.glob("*.py")) if path.stem != "__init__"]
    assert [name for name in modules if f"`{name}`" not in readme] == []


def test_each_folder_of_the_tests_is_in_their_map() -> None:
    readme = (ROOT / "tests" / "README.md").read_text()
    folders = [path.name for path in (ROOT / "tests").iterdir() if path.is_dir() and [*path.glob("*.py")]]
    assert [name for name in folders if f"`{name}/`" not in readme] == []


DOCS = sorted((ROOT / "docs").rglob("*.md"))
PAGES = (*ROOT.glob("*.md"), *DOCS, *(page for part in PARTS for page in sorted((ROOT / part).rglob("README.md"))))


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as links name them."""
    headings = re.findall(r"^#+ (.+)", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_each_link_of_a_page_has_a_target(page: Path) -> None:
    dead = []
    for target, anchor in re.findall(r"\]\((?!https?://)([^)#]*)#?([^)]*)\)", page.read_text()):
        there = page.parent / target if target else page
        if not there.exists() or (anchor and there.suffix == ".md" and anchor not in anchors(there)):
            dead.append(f"{target}#{anchor}")
    assert dead == []


def test_the_picture_of_the_architecture_is_the_output_of_its_script(tmp_path: Path) -> None:
    """A copy of docs/architecture.py draws the same picture."""
    script = shutil.copy(ROOT / "docs" / "architecture.py", tmp_path)
    subprocess.run([sys.executable, str(script)], check=True)
    assert (tmp_path / "architecture.svg").read_text() == (ROOT / "docs" / "architecture.svg").read_text()


def test_the_page_of_compatibility_is_up_to_date() -> None:
    assert compatibility.PAGE.read_text() == compatibility.page(), "docs/COMPATIBILITY.md is stale: make compatibility"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_each_target_of_make_that_a_page_names_exists(page: Path) -> None:
    targets = {*re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)}
    assert {*re.findall(r"(?:`|^    )make ([a-z]+)", page.read_text(), re.MULTILINE)} <= targets


RECORDS = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))


def test_the_index_of_decisions_lists_each_record_once_by_its_title() -> None:
    index = (ROOT / "docs" / "decisions" / "README.md").read_text()
    listed = re.findall(r"^- \[(.+)\]\((.+)\)$", index, re.MULTILINE)
    assert listed == [(path.read_text().partition("\n")[0].removeprefix("# "), path.name) for path in RECORDS]


def test_decisions_are_numbered_without_a_gap_and_have_their_usual_parts() -> None:
    assert [path.name[:5] for path in RECORDS] == [f"{number:04}-" for number in range(1, len(RECORDS) + 1)]
    for number, path in enumerate(RECORDS, 1):
        title, *parts = re.findall(r"^##? .+", path.read_text(), re.MULTILINE)
        assert title.startswith(f"# {number}. "), path.name
        usual = ["## Decision", "## Context", "## Alternatives", "## Consequences"]
        assert parts, path.name
        assert parts == [part for part in usual if part in parts], path.name


TEST_NAMED = re.compile(r"`(tests/[A-Za-z0-9_/]+\.py)::(test_\w+)`")


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.stem)
def test_each_test_that_is_named_in_the_docs_exists(path: Path) -> None:
    missing = [
        f"{file}::{name}"
        for file, name in TEST_NAMED.findall(path.read_text())
        if not (ROOT / file).is_file() or not re.search(rf"^(async )?def {name}\(", (ROOT / file).read_text(), re.M)
    ]
    assert missing == []


def test_each_guarantee_names_its_test() -> None:
    """Sentences that begin with "There is no" promise nothing, so they name no test."""
    text = (ROOT / "docs" / "GUARANTEES.md").read_text()
    promises = re.findall(r"^- .*(?:\n  .*)*", text, re.MULTILINE)
    assert len(promises) > 20
    unheld = [
        promise for promise in promises if not TEST_NAMED.search(promise) and not promise.startswith("- There is no")
    ]
    assert unheld == []


def test_each_row_of_the_threats_names_a_test() -> None:
    rows = re.findall(r"^\| .*", (ROOT / "docs" / "THREATS.md").read_text(), re.MULTILINE)
    held = [row for row in rows if TEST_NAMED.search(row)]
    assert len(held) > 20
    assert len(rows) - len(held) == 2 * len([row for row in rows if row.startswith("| --")])
