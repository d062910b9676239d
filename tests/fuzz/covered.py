"""One target under atheris, in a process of its own, which libFuzzer ends: python -m tests.fuzz.covered TARGET OPTIONS

OPTIONS are libFuzzer's. What is instrumented is the service, and nothing that its answers are compared with.
"""

import logging
import sys

import atheris

with atheris.instrument_imports(include=["service"]):
    from tests.fuzz.targets import TARGETS

    if not TARGETS.keys() & sys.argv:  # the whole service takes a second to import
        from tests.fuzz.service_targets import TARGETS


def main() -> None:
    logging.disable(logging.ERROR)  # what is sent is broken, and said to be
    program, name, *options = sys.argv
    atheris.Setup([program, *options], TARGETS[name].target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
