"""Break the compiler, a line at a time, and see whether drawn programs notice: `python tests/compile/mutation.py`.

A mutant is a text in a file of minigrad with something else in its place, for one process alone. In it the tests of
drawn programs (test_drawn.py) and of drawn cells (test_cells.py) run until one fails. Prints a line for each mutant,
and ends with 1 if one survives.
"""

import importlib.machinery
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
PACKAGE = HERE.parents[1] / "minigrad"

MUTANTS = [  # (file, text, what stands there instead)
    ("ir/rules/shape.py", "Number(1.0, dtype), Number(0.0, dtype)", "*[Number(x, 'float32') for x in (1, 0)]"),
    ("compile/passes/cse_dce.py", "made.inputs, frozen(made.params))", "made.inputs)"),
    ("ir/rules/elementwise.py", "identity=neutral(1, 1)", "identity=neutral(0.5, 0.5)"),
    ("compile/passes/sink.py", ".make(v.op.name, *[p(*given)", ".make('sub', *[p(*given)"),
    ("compile/passes/fuse.py", "needed = [v for v in group if v in roots or", "needed = [v for v in group if"),
    ("compile/passes/lift.py", "own = index[whole.ndim - x.ndim :]", "own = index[: x.ndim]"),
    ("compile/passes/merge.py", "start += x.shape[-1]", "start += 0"),
    ("ir/loop.py", "body, loop.length, not loop.reverse,", "body, loop.length, loop.reverse,"),
    ("compile/workspace.py", '"after": slice(1, None)', '"after": slice(None, -1)'),
    ("compile/workspace.py", "self.before.append([ZERO, ", "self.after.append([ZERO, "),
    ("compile/passes/cluster.py", "v not in inside or inside.get(x) is not inside[v]", "v not in inside"),
    ("compile/signature.py", "a.dtype is not {self.let(dtype, 'dtype')}", "not {self.let(dtype, 'dtype')}"),
    ("ir/rules/elementwise.py", 'booleans="({y}) != 0"', 'booleans="{y}"'),
    ("compile/emit.py", "name += \"_out\" if view.out else \"_in\"", "name += \"_in\""),
    ("compile/tasks.py", "return self.like(self.offset + start * stride)", "return self.like(self.offset)"),
    ("ir/rules/partition.py", "and 0 not in (axis if isinstance(axis, tuple) else (axis,))", ""),
    ("compile/execute.py", "np.add(sums[k], part, out=sums[k])", "sums[k] = part.astype(float)"),
    ("compile/guards.py", "became = UNCHANGED if same else self.replaced()", "became = UNCHANGED"),
]  # fmt: skip


class Mutated(importlib.machinery.SourceFileLoader):
    """Loads one file with a text replaced."""

    def __init__(self, name, path, before: str, after: str):
        super().__init__(name, path)
        self.before, self.after = before, after

    def get_code(self, fullname):
        text = Path(self.path).read_text()
        return compile(text.replace(self.before, self.after), self.path, "exec")


class Finder(importlib.machinery.PathFinder):
    file, before, after = "", "", ""

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        spec = super().find_spec(name, path, target)
        if spec is not None and spec.origin == str(PACKAGE / cls.file):
            spec.loader = Mutated(name, spec.origin, cls.before, cls.after)
        return spec


def is_noticed(k: int, timeout: float = 600) -> bool:
    """Whether the tests of drawn programs fail with mutant k."""
    made = subprocess.run([sys.executable, __file__, str(k)], capture_output=True, timeout=timeout, cwd=HERE.parents[1])
    if made.returncode not in (0, 1):
        raise RuntimeError(f"mutant {k} did not run: {made.stdout.decode()[-500:]}{made.stderr.decode()[-500:]}")
    return made.returncode == 1


def run_tests(k: int) -> int:
    import pytest

    Finder.file, Finder.before, Finder.after = MUTANTS[k]
    sys.meta_path.insert(0, Finder)
    return pytest.main(["-x", "-q", "-p", "no:cacheprovider", str(HERE / "test_drawn.py"), str(HERE / "test_cells.py")])


def survivors(report=lambda line: None) -> list[str]:
    found = []
    for k, (file, before, after) in enumerate(MUTANTS):
        if (PACKAGE / file).read_text().count(before) != 1:
            raise RuntimeError(f"{file} has not one {before!r}: the mutant must follow the code")
        noticed = is_noticed(k)
        report(f"{file:30}{after.strip()[:60]:62}{'noticed' if noticed else 'SURVIVES'}")
        if not noticed:
            found.append(f"{file}: {after.strip()}")
    return found


if __name__ == "__main__":
    if len(sys.argv) > 1:
        sys.exit(int(run_tests(int(sys.argv[1]))))
    alive = survivors(print)
    print("every mutant is noticed" if not alive else f"not noticed: {', '.join(alive)}")
    sys.exit(1 if alive else 0)
