"""Makes wheels of the packages that are installed here, so that pip needs no package index.

An index lists all files of all versions of a package, and pip judges each of them: three quarters of the time that it
takes to install the service.
"""

import re
import tomllib
from collections.abc import Iterable
from importlib.metadata import Distribution, distribution
from pathlib import Path
from zipfile import ZipFile

from packaging.requirements import Requirement

from tests.running import ROOT

# What pip writes into the metadata of an installed package, and no wheel contains.
WRITTEN = {"INSTALLER", "RECORD", "REQUESTED", "direct_url.json"}


def wheels(directory: Path) -> None:
    """Make the wheels that the service and its build need, of the versions that are installed here."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    for each in _needed([*project["project"]["dependencies"], *project["build-system"]["requires"]]):
        _pack(each, directory)


def _needed(requirements: Iterable[str]) -> Iterable[Distribution]:
    """Return the distributions that fulfil these requirements, with all that they require themselves."""
    found = dict[str, Distribution]()
    left = [Requirement(each) for each in requirements]
    while left:
        requirement = left.pop()
        if requirement.name in found or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        found[requirement.name] = distribution(requirement.name)
        left += map(Requirement, found[requirement.name].requires or ())
    return found.values()


def _pack(installed: Distribution, directory: Path) -> None:
    metadata = installed.read_text("WHEEL") or ""
    name, tag = re.sub(r"[-_.]+", "_", installed.name), metadata.partition("Tag: ")[2].split()[0]
    files = [each for each in installed.files or () if ".." not in each.parts and each.suffix != ".pyc"]
    (directory_of_metadata,) = (each.parent for each in files if each.name == "WHEEL")
    with ZipFile(directory / f"{name}-{installed.version}-{tag}.whl", "w") as wheel:
        for file in files:
            if file.name not in WRITTEN:
                wheel.write(str(installed.locate_file(file)), str(file))
        wheel.writestr(f"{directory_of_metadata}/RECORD", "".join(f"{each},,\n" for each in wheel.namelist()))
