"""Tests short runs of fuzzing guided by coverage, and what it has found. `make fuzz` makes long runs."""

import pytest

from tests.fuzz.runs import COVERED, run
from tests.fuzz.targets import formed

RUNS = 300


@pytest.mark.parametrize("target", COVERED)
def test_no_input_violates_the_rules_of_a_target(target: str) -> None:
    done = run(target, seed=1, runs=RUNS)
    assert done.found == ""
    assert done.runs >= RUNS
    assert done.coverage > 50


def test_a_form_with_a_line_break_in_a_header_is_parsed_the_same_however_it_is_cut() -> None:
    head = b'Content-Disposition: form-data; name="f"; filename="q"\rC\nontent-Type: text/plain'
    form = b"--b\r\n%b\r\n\r\nx\r\n--b--\r\n" % head
    for cut in range(len(form)):
        formed(bytes([0, cut]) + form)
