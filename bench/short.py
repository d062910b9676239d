"""`make bench`: half a minute of Locust against a service that it starts. The exit status is that of the load test.

Arguments go to Locust, so `make bench ARGS='--users 200 --shape ramp'` is another test.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.polystow import ACCESS, PROJECT, Polystow
from bench.processes import ROOT, Unusable

USUAL = ("--run-time", "30s")


def main(arguments: Sequence[str] | None = None) -> int:
    given = sys.argv[1:] if arguments is None else list(arguments)
    ACCESS["ainoflow"]["projects"] = [{"id": PROJECT, "journal": {}}]  # type: ignore[index]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LOCUST_")}
    try:
        with tempfile.TemporaryDirectory(prefix="bench-") as scratch, Polystow(Path(scratch)) as service:
            locust = [
                sys.executable,
                "-m",
                "locust",
                "-f",
                "bench/locustfile.py",
                "--headless",
                "--only-summary",
                "--host",
                service.url,
                "--access",
                str(Path(scratch, "access.json")),
                *USUAL,
                *given,
            ]
            return subprocess.run(locust, cwd=ROOT, env=environment).returncode
    except Unusable as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
