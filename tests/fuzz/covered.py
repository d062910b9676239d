"""One target under atheris, in a process of its own, which libFuzzer ends: python -m tests.fuzz.covered TARGET OPTIONS

OPTIONS are those of libFuzzer. Only the service is instrumented, not the references that its answers are compared with.
"""

import logging
import sys

import atheris

with atheris.instrument_imports(include=["service"]):
    from tests.fuzz.targets import TARGETS

    if not TARGETS.keys() & sys.argv:  # the import of the whole service takes a second
        from tests.fuzz.service_targets import TARGETS


def main() -> None:
    logging.disable(logging.ERROR)  # the input is broken, so errors are expected
    program, name, *options = sys.argv
    atheris.Setup([program, *options], TARGETS[name].target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
