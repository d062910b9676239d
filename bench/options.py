"""The options of a load test in addition to Locust's own, each a flag or a POLYSTOW_BENCH_ variable.

In a distributed run the master sends its values to the workers; files must exist on the workers as well.
"""

import os
from pathlib import Path
from typing import Any

import yaml
from locust import events
from locust.argument_parser import LocustArgumentParser

from bench.profiles import PROFILES, RAMP

PREFIX = "POLYSTOW_BENCH_"
HOST = os.environ.get(f"{PREFIX}HOST")  # used if `--host` is not given

FLAGS: tuple[tuple[str, type, object, str], ...] = (
    ("access", str, "", "access document that the service was given; its clear tokens are used"),
    ("credentials", str, "", "tokens, comma-separated, instead of a document's"),
    ("sizes", str, "125,1024,10240", "bytes of documents, comma-separated; each is as likely"),
    ("documents", int, 1000, "documents that are read and changed"),
    ("hot-share", float, 0.1, "share of the requests that go to one of them"),
    ("think", float, 0.0, "seconds that a user waits between two requests"),
    ("max-failures", float, 0.0, "share of failed requests from which on the run has failed"),
    ("max-p99", float, 1000.0, "milliseconds of the 99th percentile from which on the run has failed"),
)


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def add(parser: LocustArgumentParser) -> None:
    for name, kind, default, help in FLAGS:
        variable = PREFIX + name.upper().replace("-", "_")
        parser.add_argument(
            f"--{name}", type=kind, default=default, env_var=variable, help=help, is_secret=name == "credentials"
        )
    parser.add_argument(
        "--shape", choices=[*PROFILES, RAMP], default="hold", env_var=f"{PREFIX}SHAPE", help="load shape"
    )
    parser.set_defaults(num_users=50, spawn_rate=50)


def credentials(options: Any) -> list[str]:
    """Return the tokens that were given as options."""
    return [each.strip() for each in options.credentials.split(",") if each.strip()]


def declared(options: Any, dialect: str) -> dict[str, Any]:
    """Return the dialect's section of the access document; empty if there is none."""
    if not options.access:
        return {}
    document = yaml.safe_load(Path(options.access).read_text())
    section: dict[str, Any] = document.get(dialect) or {}
    return section


def sizes(options: Any) -> list[int]:
    return [int(each) for each in options.sizes.split(",")]
