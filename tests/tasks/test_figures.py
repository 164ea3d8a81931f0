"""The table of all tasks: which runs are made, what is told of them, and that a broken promise is noticed."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from executors import Now
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad import nn
from minigrad.cli.tasks import tasks as all_tasks
from minigrad.models.tasks import training
from minigrad.models.tasks.training import Row

ROOT = Path(__file__).parents[2]
spec = importlib.util.spec_from_file_location("table_of_tasks", ROOT / "benchmarks" / "tasks.py")
table = importlib.util.module_from_spec(spec)
spec.loader.exec_module(table)


class Guess(training.Task):
    """A task that learns a number; what it tells is its seed and the option `plus`."""

    family, known, every = "memory", "nothing", 1
    rows = [Row("--plus 1"), Row("--plus 2 --twice", "limit", "one")]
    figure = "told"

    plus: training.Annotated[int, training.Option(help="Added.")] = 0
    twice: training.Annotated[bool, training.Option("--twice", help="Doubled.")] = False
    text: training.Annotated[Path | None, training.Option(help="A file.")] = None

    def build(self):
        if self.text and not Path(self.text).exists():
            raise training.BadInput("no such text")
        self.model = nn.Linear(1, 1)

    def draw(self, generator, count):
        return (np.ones((count, 1), np.float32),)

    def loss(self, x):
        return mg.square(self.model(x)).sum()

    def train_loss(self, step):
        return self.loss(mg.tensor(self.draw(self.draws, 1)[0]))

    def evaluate(self):
        Path(self.out / "part.png").write_text(str(self.seed))
        return {"told": float(self.seed + self.plus) * (1 + self.twice), "limit": 8.0, "others_per_second": 3.0}


Guess.name = "guess"


@pytest.fixture
def run(monkeypatch, tmp_path, capsys):
    """Calls the script with one task, `guess`; returns (exit code, lines of the table, stderr)."""
    monkeypatch.setattr("minigrad.cli.tasks.tasks", lambda: {"guess": (None, Guess)})
    monkeypatch.setattr(Guess, "steps", 1)
    docs = tmp_path / "docs"
    (docs / "pictures").mkdir(parents=True)
    (docs / "page.md").write_text("pictures/guess-plus-1-part.png")

    def call(*words):
        code = table.main([*map(str, words), "--out", str(tmp_path / "out")], Now(), docs)
        out, err = capsys.readouterr()
        return code, out.splitlines()[2:], err

    return call


def test_the_table_has_the_median_the_spread_and_what_is_promised(run):
    code, (first, second), err = run("--seed", "0..4")
    assert first.startswith("| guess --plus 1 | told | nothing |  | 3 (1 to 5) | 5 | limit 8 | 0.")
    assert second.startswith("| guess --plus 2 --twice | told | one | ≤ 8 | 8 (4 to 12) | 5 | limit 8 | ")
    assert code == 0 and err == ""
    code, (_, second), err = run("--seed", "3..4")
    assert "| ≤ 8, missed by 3 | 11 (10 to 12) | 2 |" in second
    assert code == 1 and err == "worse than promised, or failed: guess --plus 2 --twice\n"


def test_higher_may_be_better(run, monkeypatch):
    monkeypatch.setattr(Guess, "higher_is_better", True)
    assert "≥ 8, missed by 2 | 6 (" in run("--seed", "0..2", "memory")[1][1]
    assert run("--seed", "5", "guess")[0] == 0


def test_runs_are_named_and_kept(run, tmp_path, monkeypatch):
    (tmp_path / "a.txt").touch()
    code, (line,), _ = run("--seed", "3..4", "--data", tmp_path, "guess --plus 2 --twice", "guess --plus 2 --twice")
    assert "| one | ≤ 8, missed by 3 | 11 (10 to 12) | 2 |" in line and code == 1  # a row of the table, once
    code, (line,), _ = run("--seed", "3", "--data", tmp_path, "guess --text a.txt")
    assert line.startswith("| guess --text a.txt | told | nothing |  | 3 | 1 |") and code == 0
    with monkeypatch.context() as patch:
        patch.setattr(Guess, "run", None)  # what has been run is not run again
        assert run("--seed", "3", "--data", tmp_path, "guess --text a.txt")[1] == [line]
    code, (line,), _ = run("--seed", "3", "guess --text b.txt")
    assert "BadInput: no such text" in line and code == 1
    with pytest.raises(SystemExit):
        run("guesses")
    with pytest.raises(SystemExit):
        run("memory --plus 1")


def test_what_goes_to_the_docs(run, tmp_path):
    docs = tmp_path / "docs"
    (docs / "figures.md").write_text("\n".join([*table.HEAD, "| gone | x |", "| guess --plus 2 --twice | x |"]) + "\n")
    run("--seed", "2..3", "--docs", "guess --plus 1")
    *head, one, two = (docs / "figures.md").read_text().splitlines()
    assert (
        head == table.HEAD and one.startswith("| guess --plus 1 | told |") and two == "| guess --plus 2 --twice | x |"
    )
    assert [path.name for path in (docs / "pictures").iterdir()] == ["guess-plus-1-part.png"]
    assert (docs / "pictures" / "guess-plus-1-part.png").read_text() == "2"


@given(st.lists(st.integers(0, 9)), st.lists(st.integers(0, 9)), st.sets(st.integers(0, 9)))
def test_merging_replaces_adds_and_forgets(before, after, names):
    text = "\n".join([*table.HEAD, *(f"| {k} | before |" for k in before)])
    lines = table.merged(text, [f"| {k} | after |" for k in after], set(map(str, names))).splitlines()
    wanted = [f"| {k} | {'after' if k in after else 'before'} |" for k in sorted({*before, *after} & names)]
    assert lines == [*table.HEAD, *wanted]


def test_every_row_can_be_run_and_is_in_a_chapter():
    tasks = all_tasks()
    rows = table.rows_of(["all"], tasks)
    assert len({row.name for row in rows}) == len(rows) and {row.task.name for row in rows} == set(tasks)
    for row in rows:
        grid = row.grid(ROOT, "0..4")
        assert grid.pop("seed") == [0, 1, 2, 3, 4] and all(len(values) == 1 for values in grid.values())
        assert (ROOT / "docs" / "models" / f"{row.task.family}.md").exists(), row.name
    text = (ROOT / "docs" / "models" / "figures.md").read_text()
    assert table.merged(text, [], {row.name for row in rows}) == text  # in order, and no row that is none any more
