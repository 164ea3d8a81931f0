"""The exercises of the docs: what is given as a solution is right, and what is given to begin with is not."""

import subprocess
import sys
from pathlib import Path

import pytest

EXERCISES = Path(__file__).parents[1] / "docs" / "exercises"


def check(*arguments):
    command = [sys.executable, str(EXERCISES / "check.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def test_the_solutions_pass_the_tests_of_the_library():
    done = check("--solutions")
    assert [line for line in done.stdout.splitlines() if line.startswith("exercise ")] == [
        f"exercise {k}: right" for k in range(1, 7)
    ], done.stdout
    assert done.returncode == 0


@pytest.mark.parametrize("number", [pytest.param(k, marks=[] if k == 2 else pytest.mark.heavy) for k in range(1, 7)])
def test_what_one_begins_with_fails_them(number):
    done = check(str(number))
    assert f"exercise {number}: not yet" in done.stdout and done.returncode == 1
