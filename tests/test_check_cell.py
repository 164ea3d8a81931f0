"""`check_cell` passes on what is right, and finds planted faults: property, smallest case, op and line."""

import os
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

import minigrad as mg
from minigrad import cli, nn
from minigrad.cli.new import new
from minigrad.models.tasks.cells import CELLS
from minigrad.testing import cells, check_cell
from minigrad.testing.derivatives import complex_step
from minigrad.testing.runs import Case, Skipped, Trial


class Base(nn.Module):
    """h' = tanh(W x + U h): right. What follows is not."""

    def __init__(self, input_size, hidden_size):
        self.input_size, self.hidden_size = input_size, hidden_size
        self.W = nn.Parameter(np.ones((hidden_size, input_size), np.float32))
        self.U = nn.Parameter(np.ones((hidden_size, hidden_size), np.float32))

    def forward(self, x, h):
        return mg.tanh(x @ self.W.T + h @ self.U.T)


class WrongWeight(Base):
    def forward(self, x, h):
        return mg.tanh(x @ self.W + h @ self.U.T)


def product(x, U):
    return x @ U.T


transposed = mg.custom_vjp(product)
transposed.defvjp(lambda x, U: (x @ U.T, (x, U)), lambda saved, g: (g @ saved[1].T, g.T @ saved[0]))
scaled = mg.custom_vjp(product)
scaled.defvjp(lambda x, U: (x @ U.T, (x, U)), lambda saved, g: (g @ saved[1], 1.01 * (g.T @ saved[0])))
detached = mg.custom_vjp(product)
detached.defvjp(lambda x, U: (x @ U.T, (x, U)), lambda saved, g: (g @ mg.stop_gradient(saved[1]), g.T @ saved[0]))
cubed = mg.custom_vjp(product)
cubed.defvjp(lambda x, U: (x @ U.T, (x, U)), lambda saved, g: (g @ saved[1] + 0.1 * g**3 @ saved[1], g.T @ saved[0]))
leaking = mg.custom_vjp(product)
leaking.defvjp(
    lambda x, U: (x @ U.T, (x, U)), lambda saved, g: (g @ saved[1] + 1e-3 * (g @ saved[1]).mean(axis=0), g.T @ saved[0])
)


class TransposedInVjp(Base):
    def forward(self, x, h):
        return mg.tanh(x @ self.W.T + transposed(h, self.U))


class ScaledVjp(Base):
    def forward(self, x, h):
        return mg.tanh(x @ self.W.T + scaled(h, self.U))


class DetachedVjp(Base):
    def forward(self, x, h):
        return mg.tanh(x @ self.W.T + detached(h, self.U))


class CubedVjp(Base):
    def forward(self, x, h):
        return mg.tanh(x @ self.W.T + cubed(h, self.U))


class LeakingVjp(Base):
    def forward(self, x, h):
        return mg.tanh(x @ self.W.T + leaking(h, self.U))


class CentredOverBatch(Base):
    def forward(self, x, h):
        a = x @ self.W.T + h @ self.U.T
        return mg.tanh(a - a.mean(axis=0))


class ScaledByTheLargest(Base):
    def forward(self, x, h):
        a = x @ self.W.T + h @ self.U.T
        return mg.tanh(a / (1 + mg.abs(a).max()))


class RowByNumber(Base):
    def forward(self, x, h):
        place = mg.tensor(np.arange(len(x))[:, None].astype(str(x.dtype)))
        return mg.tanh(x @ self.W.T + place + h @ self.U.T)


class KeepsItsState(Base):
    last = None

    def forward(self, x, h):
        h = mg.tanh(x @ self.W.T + h @ self.U.T)
        if self.last is not None and self.last.shape == h.shape and not mg.tracing():
            h = h + 0.5 * self.last
        self.last = h if not mg.tracing() else None
        return h


class CountsItsSteps(Base):
    steps = 0

    def initial_state(self, x):
        self.steps = 0
        return mg.tensor(np.zeros((len(x), self.hidden_size), x.dtype))

    def forward(self, x, h):
        self.steps = self.steps + 1
        return mg.tanh(x @ self.W.T / self.steps + h @ self.U.T)


class ChangesItsInput(Base):
    def forward(self, x, h):
        h = mg.tanh(x @ self.W.T + h @ self.U.T)
        if not mg.tracing():
            x._data[...] = 0
        return h


class ChangesItsState(Base):
    def forward(self, x, h):
        if not mg.tracing():
            with mg.no_grad():
                h.detach()[...] = 0.5
        return mg.tanh(x @ self.W.T + h @ self.U.T)


class ChangesItsParameter(Base):
    def forward(self, x, h):
        if not mg.tracing():
            with mg.no_grad():
                self.W *= 0.9
        return mg.tanh(x @ self.W.T + h @ self.U.T)


class Noisy(Base):
    def forward(self, x, h):
        noise = np.random.normal(size=h.shape).astype(h.dtype)
        return mg.tanh(x @ self.W.T + noise + h @ self.U.T)


class WrongDtype(Base):
    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.scale = np.float64([2.0])

    def forward(self, x, h):
        return mg.tanh(x @ self.W.T + h @ self.U.T) * self.scale


class WrongShape(Base):
    def forward(self, x, h):
        return mg.tanh(x @ self.W.T + h @ self.U.T).sum(axis=0)


class WrongStructure(Base):
    def forward(self, x, h):
        h = mg.tanh(x @ self.W.T + h @ self.U.T)
        return h, h, h


class CommonCounter(Base):
    def initial_state(self, x):
        return mg.tensor(np.zeros((len(x), self.hidden_size), x.dtype)), mg.tensor(np.zeros((), x.dtype))

    def forward(self, x, state):
        h, t = state
        return mg.tanh(x @ self.W.T + h @ self.U.T), t + 1


class NormOfPadding(Base):
    def forward(self, x, h):
        x = x / mg.sqrt((x * x).sum(axis=-1, keepdims=True))
        return mg.tanh(x @ self.W.T + h @ self.U.T)


FAULTS = {  # what finds it, what the report says, what it points at
    WrongWeight: ("state shapes", "matmul", "x @ self.W +"),
    TransposedInVjp: ("vjp, central differences", "derivative with", "custom_vjp of product at .*transposed"),
    ScaledVjp: ("vjp, complex step", "derivative with respect to parameter U", "custom_vjp of product at .*scaled"),
    DetachedVjp: ("second derivatives", "second derivative with respect to", "custom_vjp of product at .*detached"),
    CubedVjp: ("jvp against vjp", "<v, jvp.u.> is", "custom_vjp of product at .*cubed"),
    LeakingVjp: ("batch independence", "gives another row a gradient", "custom_vjp of product at .*leaking"),
    CentredOverBatch: ("batch independence", "changing row . of x changes another", "sum at .*a.mean"),
    ScaledByTheLargest: ("batch independence", "changing row . of x changes another", "max at .*mg.abs"),
    RowByNumber: ("batch independence", "among the others and alone", ""),
    KeepsItsState: ("determinism", "a call changes self.last", "mul at .*self.last"),
    CountsItsSteps: ("causality", "a call changes self.steps", ""),
    ChangesItsInput: ("no change in place", "the cell changes x", r"x._data\[...\] = 0"),
    ChangesItsState: ("state shapes", "in-place change inside .*, of an argument", r"h.detach\(\)\[...\] = 0.5"),
    ChangesItsParameter: ("no change in place", "the cell changes parameter W", r"self.W \*= 0.9"),
    Noisy: ("determinism", "run twice", "add at .*noise"),
    WrongDtype: ("state shapes", r"was float32\[1, 1\], a step returned float64\[1, 1\]", "mul at .*self.scale"),
    WrongShape: ("state shapes", "", "sum at"),
    WrongStructure: ("state shapes", "returned", ""),
    CommonCounter: ("state shapes", r"the state\[1\] is float32\[\], wanted a first axis", ""),
    NormOfPadding: ("padding invariance", "gradient", "div at .*x / mg.sqrt"),
}


@pytest.fixture
def uncompiled(monkeypatch):
    monkeypatch.setattr(cells, "PROPERTIES", [p for p in cells.PROPERTIES if not p.compiles])


@pytest.fixture
def few_cases(uncompiled, monkeypatch):
    monkeypatch.setattr(cells, "PROPERTIES", [replace(p, cases=2) for p in cells.PROPERTIES])


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_planted_fault_is_found_and_pointed_at(fault, uncompiled):
    name, what, line = FAULTS[fault]
    found = next(result for result in cells.results(fault) if result.name == name)
    assert not found.ok and re.search(what, found.what), found
    assert re.search(line, found.line or ""), found
    assert found.case.seed < 3  # it was made small


def test_a_difference_that_the_compiler_makes(monkeypatch):
    class SeesTheCompiler(Base):
        def forward(self, x, h):
            a = x @ self.W.T + h @ self.U.T
            return mg.tanh(a * (1.01 if mg.tracing() else 1.0))

    monkeypatch.setattr(cells, "PROPERTIES", [replace(p, needs=()) for p in cells.PROPERTIES if p.compiles])
    (found,) = cells.results(SeesTheCompiler)
    assert not found.ok and found.what.startswith("eager and compiled, "), found
    assert re.search("mul at .*a \\* .1.01", found.line), found


@pytest.mark.parametrize("name", CELLS)
def test_cells_of_models_pass(name, few_cases):
    report = check_cell(CELLS[name])
    assert report and not [result for result in report.results if result.skipped], report


@pytest.mark.heavy
@pytest.mark.parametrize("name", CELLS)
def test_cells_of_models_pass_compiled(name):
    check_cell(CELLS[name])


def test_a_report():
    report = check_cell(Base)
    assert len(report.results) == len(cells.PROPERTIES) == len(str(report).splitlines())
    assert all(result.cases >= 6 for result in report.results)


def test_a_failure_raises_with_all_of_the_report(few_cases):
    with pytest.raises(AssertionError) as error:
        check_cell(CentredOverBatch)
    lines = str(error.value).splitlines()
    assert lines[0] == "check_cell(CentredOverBatch):" and lines[1].startswith("ok    state shapes")
    (k,) = [k for k, line in enumerate(lines) if line.startswith("FAIL  batch independence")]
    assert "B=2" in lines[k] and "look at sum" in lines[k + 2]


def test_a_made_cell_keeps_its_sizes_and_is_not_changed(few_cases):
    cell = Base(3, 5)
    before = cell.state_dict()
    assert check_cell(cell)
    assert all(np.array_equal(before[name], value) for name, value in cell.state_dict().items())
    assert cell.training and cell.W.dtype == np.float32
    with pytest.raises(AssertionError, match="matmul.float32.1, 3., float32.5, 3.*\n.*look at .*x @ self.W "):
        check_cell(WrongWeight(3, 5))


def test_draws_of_the_global_generator_are_left_alone(few_cases):
    nn.manual_seed(0)
    check_cell(CELLS["gru"])
    first = nn.default_generator.random()
    nn.manual_seed(0)
    assert first == nn.default_generator.random()


def test_what_makes_no_cell():
    with pytest.raises(TypeError, match="makes no cell, an nn.Module"):
        check_cell(lambda I, H: [I, H])

    def picky(input_size, hidden_size):
        raise ValueError("wanted a multiple of 100")

    with pytest.raises(TypeError, match="picky.* makes no cell: wanted a multiple of 100"):
        check_cell(picky)


def test_a_cell_that_has_no_complex_form():
    class ErrorFunction(Base):
        def forward(self, x, h):
            return mg.erf(x @ self.W.T + h @ self.U.T)

    with pytest.raises(Skipped, match="erf has no complex form"):
        complex_step(Trial(ErrorFunction, Case((1, 2), 2, 1, "float64", 1.0, 0)))


# The commands


@pytest.fixture
def minigrad(tmp_path, monkeypatch, capsys):
    """The command in an empty folder: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["minigrad", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return end.value.code, *capsys.readouterr()

    return run


def test_a_new_cell_passes_its_test(minigrad, tmp_path):
    code, out, err = minigrad("new", "my_cell")
    assert (code, err) == (0, "") and "minigrad check my_cell.py:MyCell" in out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["my_cell.py", "test_my_cell.py"]
    text = (tmp_path / "my_cell.py").read_text()
    assert text.count("<-") >= 5
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and "2 passed" in done.stdout, done.stdout
    wrong = text.replace("return f * h + (1 - f) * n", "return (1 - f) * h + f * n")  # a right cell, of another paper
    (tmp_path / "my_cell.py").write_text(wrong)
    done = subprocess.run([*command, "-k", "paper"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1 and "1 failed" in done.stdout, done.stdout
    (tmp_path / "my_cell.py").write_text(text)
    code, out, err = minigrad("new", "my_cell")
    assert (code, out, err.count("\n")) == (2, "", 1) and "there already" in err
    assert (tmp_path / "my_cell.py").read_text() == text


def test_the_check_of_a_new_cell(minigrad, tmp_path, few_cases):
    minigrad("new", "mine")
    code, out, err = minigrad("check", "mine.py:Mine")
    assert (code, err) == (0, "") and all(line.startswith("ok ") for line in out.splitlines())
    text = (tmp_path / "mine.py").read_text()
    (tmp_path / "mine.py").write_text(text.replace("f * h +", "f.mean(axis=0) * h +"))
    code, out, err = minigrad("check", "mine.py:Mine", "--input", 2, "--hidden", 3)
    assert (code, err) == (1, "")
    lines = out.splitlines()
    (k,) = [k for k, line in enumerate(lines) if line.startswith("FAIL  batch independence")]
    assert "input=2 hidden=3 T=" in lines[k]
    assert re.search(r"look at sum at mine.py:\d+: .*f.mean\(axis=0\)", lines[k + 2])


@pytest.mark.parametrize("name", ["3d", "my-cell", "class", "_", "numpy", "../cell", ""])
def test_names_that_a_cell_cannot_have(name, tmp_path):
    with pytest.raises(ValueError, match="wanted a name|choose another"):
        new(name, tmp_path)
    assert not list(tmp_path.iterdir())


def test_one_file_that_is_there_keeps_both_from_being_written(tmp_path):
    (tmp_path / "test_mine.py").write_text("mine")
    with pytest.raises(FileExistsError, match="test_mine.py: there already"):
        new("mine", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["test_mine.py"]


BROKEN = {
    "nosuch": "nosuch: wanted one of rnn, ",
    "nowhere.py:Cell": "there is no file nowhere.py",
    "mine.py:Other": "mine.py defines no Other; it has Cell, Thing",
    "raises.py:Cell": r"running raises.py raised ZeroDivisionError: division by zero \(raises.py, line 1\)",
    "mine.py:Thing": "Thing is not a cell",
    "mine.py:Cell": "Cell is not a cell.* makes float32.3, 8. of a state float32.3, 4.",
}


@pytest.mark.parametrize("cell", BROKEN)
def test_broken_input_is_one_line_and_exit_code_2(cell, minigrad, tmp_path):
    (tmp_path / "raises.py").write_text("1 / 0")
    (tmp_path / "mine.py").write_text(
        "import minigrad as mg\nclass Cell(mg.nn.Module):\n"
        "    def __init__(self, I, H): self.hidden_size = H\n"
        "    def forward(self, x, h): return mg.concatenate([h, h], axis=-1)\n"
        "class Thing:\n    def __init__(self, I, H): pass\n"
    )
    code, out, err = minigrad("check", cell)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1 and re.search(BROKEN[cell], err), err


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written(minigrad, tmp_path):
    tmp_path.chmod(0o500)
    code, out, err = minigrad("new", "mine")
    assert (code, out, err.count("\n")) == (2, "", 1)


def test_a_check_leaves_nothing_in_the_working_folder(tmp_path):
    program = "from minigrad import models; from minigrad.testing import cells; next(cells.results(models.RNNCell))"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, timeout=300)
    assert done.returncode == 0 and list(tmp_path.iterdir()) == []
