"""Tests that the documentation site is built without warnings, has every page, and loads nothing from other servers."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.running import ROOT, environment


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the site, built as `make docs` builds it."""
    directory = tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(directory)]
    done = subprocess.run(
        build, cwd=ROOT, env=environment({}) | {"NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return directory


def documented() -> list[Path]:
    """Return the pages that the site must have."""
    folders = ("service", "lua", "k8s", "bench", "tests")
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    pages += [page for folder in folders for page in (ROOT / folder).rglob("README.md")]
    return [page.relative_to(ROOT) for page in pages]


def test_the_site_has_each_page_of_the_tree(site: Path) -> None:
    for page in documented():
        name = "index.html" if page.stem == "README" else f"{page.stem}.html"
        assert (site / page.parent / name).is_file(), page


def test_the_navigation_has_each_page_except_single_decisions() -> None:
    led_to = set(re.findall(r": ([\w/]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE))
    assert led_to == {str(page) for page in documented() if not re.match(r"docs/decisions/\d", str(page))}


def test_no_page_of_the_site_loads_anything_from_elsewhere(site: Path) -> None:
    """Links may lead to other servers; scripts, styles, fonts and pictures may not come from them."""
    loaded = re.compile(r"""<(?:script|img|iframe)[^>]+src=["']?(?:https?:)?//|<link[^>]+stylesheet[^>]+//""")
    for page in site.rglob("*.html"):
        assert not loaded.search(page.read_text()), page
    for style in site.rglob("*.css"):
        assert not re.search(r"""(?:@import|url\()\s*["']?(?:https?:)?//""", style.read_text()), style
