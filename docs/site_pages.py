"""The files of the documentation site, a hook of mkdocs: the pages of the whole tree, at their paths in it.

mkdocs reads the pages of one directory. Here the pages are beside the code that they describe, and link to each other
with relative paths. Each page has the same path in the site, so the links need no change.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent
FOLDERS = ("docs", "service", "lua", "k8s", "bench", "tests")

_target = re.compile(r"\]\((?!https?://)([^)#]+)")


def pages() -> list[Path]:
    """Return the pages of the site."""
    below = (page for folder in FOLDERS for page in (ROOT / folder).rglob("*.md"))
    return sorted([*ROOT.glob("*.md"), *(page for page in below if page.name == "README.md" or "docs" in page.parts)])


def linked(page: Path) -> Iterator[Path]:
    """Return the files that a page links to and that are not pages, such as pictures."""
    for target in _target.findall(page.read_text()):
        if (found := (page.parent / target).resolve()).is_file() and found.suffix != ".md":
            yield found


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Replace the files of the documentation directory by those of the tree; the theme's stay."""
    for file in list(files):
        if file.src_dir == config.docs_dir:
            files.remove(file)
    found = pages()
    for path in dict.fromkeys([*found, *(path for page in found for path in linked(page))]):
        name = path.relative_to(ROOT).as_posix()
        files.append(File(name, str(ROOT), config.site_dir, config.use_directory_urls))
    return files
