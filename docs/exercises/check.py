"""Check an exercise: `python docs/exercises/check.py 1` runs the library's own tests with what you wrote in its place.

With --solutions it checks those that are given; without a number all of them.
"""

import importlib.util
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
# By number: the file, and the tests that judge it.
EXERCISES = {
    1: ("tape", ["tests/test_tape.py", "tests/test_transforms.py"]),
    2: ("softsign", ["tests/ops/test_elementwise.py", "tests/ops/test_table.py"]),
    3: ("centered", ["tests/ops/test_table.py"]),
    4: ("cell", [str(HERE / "test_cell.py")]),
    5: ("scan", ["tests/test_scan.py"]),
    6: ("lift", ["tests/compile/test_passes.py"]),
}
CHOICE = {
    1: "chains or diamond or accumulate or create_graph or parity or hessian or hooks_see",
    2: "softsign", 3: "centered", 4: "", 5: "", 6: "lift or slice",
}  # fmt: skip


def load(number: int, folder: Path = HERE):
    path = folder / f"{number}_{EXERCISES[number][0]}.py"
    spec = importlib.util.spec_from_file_location(f"exercise_{path.stem}", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def replace(function, yours) -> None:
    """Let a function of the library run your code, with the names that it has there, whoever has imported it."""
    while hasattr(function, "__wrapped__"):  # arguments are checked around it
        function = function.__wrapped__
    function.__code__, function.__defaults__ = yours.__code__, yours.__defaults__


def install(number: int, folder: Path) -> None:
    """Put what you wrote in the place of the library's."""
    import minigrad as mg
    from minigrad import ops, tape
    from minigrad.compile.passes import lift

    module = load(number, folder)
    if number == 1:
        replace(tape.tape_of, module.tape_of)
    elif number == 2:
        ops.elementwise.softsign = mg.softsign = module.softsign
    elif number == 3:
        ops.reduce.centered = mg.centered = module.centered
    elif number == 4:
        mg.Exercise = module.Cell
    elif number == 5:
        replace(mg.scan, module.scan)
    else:
        replace(lift.lift_within, module.lift_within)


def main(arguments: list[str]) -> int:
    solutions = "--solutions" in arguments
    numbers = [int(a) for a in arguments if a != "--solutions"] or list(EXERCISES)
    done = 0
    for number in numbers:  # before any test is collected: they take the ops from the table
        install(number, HERE / "solutions" if solutions else HERE)
    for number in numbers:
        _, tests = EXERCISES[number]
        chosen = ["-k", CHOICE[number]] if CHOICE[number] else []
        options = ["-q", "-x", "-p", "no:cacheprovider", "--rootdir", str(ROOT), "-c", str(ROOT / "pyproject.toml")]
        failed = pytest.main([*options, "--tb=short", *chosen, *[str(ROOT / test) for test in tests]])
        print(f"exercise {number}: {'not yet' if failed else 'right'}")
        done += not failed
    return 0 if done == len(numbers) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
