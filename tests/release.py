"""`python -m tests.release PROGRAM`: tries an installed `polystow` outside of this checkout, as its users would.

The program serves with its embedded Redis. One record of each kind is written and read. `verify` replays a vendor's
page from the conversations in the package. `doctor` and `fsck` find nothing. The exit status is 0 if all of this is
true.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from service import __version__
from tests.records import RECORDS, Client
from tests.running import Running, environment


def command(program: Path, *arguments: str, **settings: object) -> str:
    """Run one command of the program, and return its output. Fail with the output if its exit status is not 0."""
    with tempfile.TemporaryDirectory() as outside:
        done = subprocess.run(
            [program, *arguments], cwd=outside, env=environment(settings), capture_output=True, text=True, timeout=60
        )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def try_out(program: Path) -> None:
    """Try the program; fail with its first error."""
    assert command(program, "--version") == f"polystow {__version__}\n"
    with Running(program=program) as running:
        client = Client(running.wait_ready().url)
        for record in RECORDS:
            record.write(client)
        for record in RECORDS:
            assert record.content in (answer := record.read(client)), f"{record.name}: {answer[:500]!r}"
        for page in ("/docs", "/openapi/genesys.json"):
            client.ask("GET", page, {})
        print(command(program, "verify", "genesys", "--against", running.url, "--beyond"), end="")
        settings = {"data_dir": running.data_dir}
        print(command(program, "fsck", **settings), end="")
        print(command(program, "doctor", **settings), end="")


if __name__ == "__main__":
    try_out(Path(sys.argv[1]).resolve())
    print(f"{len(RECORDS)} records of {__version__} were written and read")
