"""Tests `Content-Disposition`: a file name is complete, or shortened between two characters with its extension."""

from urllib.parse import unquote

import pytest

from service.api.downloads import NAME_BYTES, disposition


def names(header: str) -> tuple[str, str]:
    """Return the ASCII name and the exact name of a header."""
    plain, _, extended = header.removeprefix('attachment; filename="').partition("\"; filename*=UTF-8''")
    return plain.rstrip('"'), unquote(extended)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("report.pdf", "report.pdf"),
        ("x" * NAME_BYTES, "x" * NAME_BYTES),
        ("x" * 9_000, "x" * NAME_BYTES),
        ("x" * 9_000 + ".pdf", "x" * (NAME_BYTES - 4) + ".pdf"),
        ("x." + "y" * 9_000, "x." + "y" * (NAME_BYTES - 2)),
        ("." + "y" * 9_000, "." + "y" * (NAME_BYTES - 1)),
        ("../" + "x" * 9_000, "x" * NAME_BYTES),
    ],
)
def test_an_ascii_file_name_is_cut_to_its_limit(name: str, shown: str) -> None:
    assert disposition(name) == f'attachment; filename="{shown}"'


@pytest.mark.parametrize("character", ["é", "日", "\U0001f600"])
@pytest.mark.parametrize("extension", ["", ".tar", ".é", ".日本"])
@pytest.mark.parametrize("before", range(4))
def test_a_file_name_is_cut_between_two_characters(character: str, extension: str, before: int) -> None:
    header = disposition("a" * before + character * 9_000 + extension)
    plain, whole = names(header)
    assert whole.startswith("a" * before + character * 50)
    assert whole.endswith(character + extension)
    assert NAME_BYTES - 4 < len(whole.encode()) <= NAME_BYTES
    assert len(plain) == len(whole)
    assert len(header) < 4 * NAME_BYTES + 100
