"""What every task gets: options declared once, the docstring's task as it stands there."""

import itertools
import json
import os
import signal
import sys
import types

import numpy as np
import pytest
from faults import interrupted
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad import cli, disk, io, nn
from minigrad.cli.tasks import tasks as all_tasks
from minigrad.models.tasks import training
from minigrad.training import files


@pytest.fixture
def echo(monkeypatch):
    """The task of the docstring of training.py, as a module."""
    lines = training.__doc__.partition("    '''")[2].partition("\nWhat need not")[0]
    module = types.ModuleType("minigrad.models.tasks.echo")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    vars(module).update(np=np, mg=mg, **{name: getattr(training, name) for name in training.__all__})
    exec("if True:\n    '''" + lines, vars(module))
    return module.Echo


def test_the_task_of_the_docstring_learns(echo, tmp_path, capsys):
    row = echo(steps=200, every=200, hidden=32, lr=0.02, out=tmp_path / "run").run()
    assert row["wrong"] < 0.3
    out = capsys.readouterr().out
    assert "echo: " in out and f"wrong {row['wrong']:.4g}; known: chance 0.875" in out


def test_options(echo):
    assert list(echo.options()) == [
        "length", "cell", "hidden", "layers", "memory", "steps", "lr", "batch", "every", "seed", "out", "resume",
    ]  # fmt: skip
    assert echo.options()["steps"][1] == 500 and training.Task.options()["steps"][1] == 3000
    assert echo().length == 20 and echo(length=9).length == 9 and echo(length=9).name == "echo"
    with pytest.raises(TypeError, match="echo has no option lenght; it has length, cell"):
        echo(lenght=9)
    with pytest.raises(cli.BadInput, match="--lr nan: wanted a finite number"):
        echo(lr=float("nan"))


def test_the_seed_decides_and_the_cell_does_not_change_the_data(echo):
    same = [echo(seed=3, cell=cell).draw(echo(seed=3).draws, 2)[1] for cell in ("rnn", "lstm")]
    assert (same[0] == same[1]).all() and (echo(seed=3).test[1] == echo(seed=3, cell="rnn").test[1]).all()
    assert (echo(seed=4).test[1] != echo(seed=3).test[1]).any()


def test_every_task_tells_what_is_known():
    for name, (module, task) in all_tasks().items():
        assert task.name == name and module.__doc__.splitlines()[0].endswith(".")
        assert all(hint.__metadata__[0].help for hint, _ in task.options().values())


def test_the_weights_kept_are_the_best_on_valid(echo, tmp_path, capsys):
    class Chosen(echo):
        best_on, figure, hidden, every, stop = "valid", "mistakes", 3, 2, None
        seen: dict = {}

        def batch_at(self, step, rows=slice(None)):
            if step == self.stop:
                signal.raise_signal(signal.SIGINT)
            return super().batch_at(step, rows)

        def evaluate(self):
            step = 2 * (1 + len(self.seen))
            self.seen[step] = {name: array.copy() for name, array in self.model.state_dict().items()}
            return {"valid": {2: 3.0, 4: 1.0, 6: 2.0, 8: 1.0, 10: 0.5}[step], "mistakes": step / 10}

    def kept():
        arrays, settings = io.load(tmp_path / "run" / "weights.safetensors")
        (step,) = (s for s, seen in Chosen.seen.items() if all((seen[k] == arrays[k]).all() for k in arrays))
        return step, settings["steps"]

    row = Chosen(steps=6, out=tmp_path / "run").run()
    assert (row["step"], row["mistakes"]) == (4, 0.4) and kept() == (4, 6)
    told = capsys.readouterr().out
    assert "those of step 4, the best on valid" in told
    assert told.count("mistakes") == 1 and "mistakes 0.4; known:" in told  # not before the choice is made
    Chosen.stop = 8  # evaluated as well as step 4: the first of two equals stays
    with pytest.raises(SystemExit):
        Chosen(steps=10, out=tmp_path / "run", resume=True).run()
    assert kept() == (4, 10)
    row = Chosen(out=tmp_path / "run", resume=True).run()  # to 10, as the file of step 4's weights has it by now
    assert (row["step"], row["mistakes"]) == (10, 1.0) and kept() == (10, 10)


# Runs that are killed


class Line(training.Task):
    """Fit a line. Its weights are those of the step that is best, which is the first."""

    steps, every, batch, lr, best_on = 2, 1, 4, 0.1, "worse"

    def build(self):
        self.model = nn.Linear(2, 1)

    def draw(self, generator, count):
        x = generator.standard_normal((count, 2), dtype=np.float32)
        return x, x.sum(axis=1, keepdims=True)

    def loss(self, x, y):
        return ((self.model(x) - y) ** 2).mean()

    def train_loss(self, *batch):
        return self.loss(*batch)

    def evaluate(self):
        self.told = getattr(self, "told", 0) + 1
        return {"held_out_loss": self.loss(*map(mg.tensor, self.draw(self.test_draws, 9))).item(), "worse": self.told}

    def position(self):
        return {"told": getattr(self, "told", 0)}

    def restore(self, kept):
        if kept.keys() != {"told"} or type(kept["told"]) is not int:
            raise ValueError(f"got {kept}")
        self.told = kept["told"]


@pytest.fixture
def plain_curves(monkeypatch):
    """Curves without Matplotlib."""
    monkeypatch.setattr(files, "draw_curves", lambda rows, unit, path: disk.replace(path, repr(len(rows)).encode()))


def what_is_in(run):
    """The files of a run, but for what depends on the clock."""
    log = (run / files.LOG).read_text().splitlines()
    place = log[0].split(",").index("seconds")
    weights, told = io.load(run / files.WEIGHTS)
    arrays, metadata = io.load(run / files.CHECKPOINT)
    position = metadata["checkpoint"]["run"]
    return (
        sorted(path.name for path in run.iterdir()), [line.split(",")[:place] for line in log],
        {name: array.tobytes() for name, array in {**arrays, **weights}.items()}, told["step"], position["step"],
        (run / files.CURVES).read_bytes(),
    )  # fmt: skip


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_run_that_is_killed_at_any_operation_on_a_file_resumes_or_begins_again(tmp_path, monkeypatch, plain_curves):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # the power stays on
    Line(out=tmp_path / "whole").run()
    wanted, ways = what_is_in(tmp_path / "whole"), set()
    assert wanted[3:5] == (1, 2)
    for number in itertools.count(1):
        run = tmp_path / str(number)
        child = os.fork()
        if child == 0:
            try:
                interrupted(monkeypatch, number, lambda name: os._exit(9))
                Line(out=run).run()
                os._exit(0)
            finally:
                os._exit(1)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert status in (0, 9)
        begun = run.is_dir() and (run / files.CHECKPOINT).exists()
        for resume in (True, False):  # without a checkpoint both ways lead on, if there are weights
            try:
                if resume or not begun:
                    Line(out=run, resume=resume).run()
                    ways.add((begun, resume))
                    break
            except training.BadInput as error:
                assert not begun and "is not the folder of a run" in str(error)
        assert what_is_in(run) == wanted
        if status == 0:
            break
    assert number > 30 and ways == {(True, True), (False, True), (False, False)}


def test_weights_of_a_first_save_without_a_checkpoint_may_be_begun_anew_and_others_not(tmp_path, plain_curves):
    run = tmp_path / "run"
    Line(out=run).run()
    weights, told = io.load(run / files.WEIGHTS)
    for path in run.iterdir():
        path.unlink()
    for step, words in [(1, "has no checkpoint"), (True, "has no checkpoint"), (0, None)]:
        io.save(run / files.WEIGHTS, weights, {**told, "step": step})
        (run / ".log.csv.0123abcd.new").write_bytes(b"half a log")
        if words is None:
            assert Line(out=run).settings["steps"] == 2 and Line(out=run, resume=True).settings["steps"] == 2
            Line(out=run, steps=1).run()
        else:
            before = (run / files.WEIGHTS).read_bytes()
            with pytest.raises(training.BadInput, match=words):
                Line(out=run, resume=True)
            with pytest.raises(training.BadInput, match="not empty"):
                Line(out=run)
            assert (run / files.WEIGHTS).read_bytes() == before


# Checkpoints and settings that are whole and wrong

junk = [None, True, -1, 10**6, 1.5, float("nan"), float("inf"), "", "x", [], {}, [None], [[]], {"a": 1}]
wrong = st.sampled_from(junk)


@settings(max_examples=max(30, settings.default.max_examples))
@given(data=st.data())
def test_a_position_or_settings_of_wrong_contents_are_taken_or_refused_in_a_line(tmp_path_factory, data):
    run = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "draw_curves", lambda *_: None)
        Line(out=run).run()
        path = run / data.draw(st.sampled_from([files.CHECKPOINT, files.WEIGHTS]))
        arrays, metadata = io.load(path)
        part = data.draw(st.sampled_from(["run", "task"]))
        owner = metadata if path.name == files.WEIGHTS else metadata["checkpoint"][part]
        name = data.draw(st.sampled_from([*owner, "rows.0", "rows.1"]))
        if name.startswith("rows.") and "rows" in owner:
            owner = owner["rows"][int(name[-1])]
            name = data.draw(st.sampled_from(list(owner)))
        if data.draw(st.booleans()):
            owner[name] = data.draw(wrong)
        else:
            owner.pop(name, None)
        io.save(path, arrays, metadata)
        before = {path.name: path.read_bytes() for path in run.iterdir()}
        try:
            Line(out=run, resume=True, steps=3).run()
        except training.BadInput as error:
            assert str(run) in str(error)
            assert {path.name: path.read_bytes() for path in run.iterdir()} == before
        else:
            json.dumps(io.load(run / files.CHECKPOINT)[1], allow_nan=False)
            assert io.load(run / files.CHECKPOINT)[1]["checkpoint"]["run"]["step"] == 3


def test_options_are_of_their_types_and_in_their_ranges_however_they_are_given(echo, tmp_path):
    for options, words in [
        ({"steps": 0}, "--steps 0: wanted an integer at least 1 and at most 1000000000"),
        ({"steps": 2.0}, "--steps 2.0: wanted an integer"),
        ({"steps": True}, "--steps True: wanted an integer"),
        ({"hidden": "64"}, "--hidden '64': wanted an integer"),
        ({"layers": 100_000}, "--layers 100000: wanted an integer at least 1 and at most 100"),
        ({"lr": -1}, "--lr -1: wanted a finite number at least 0"),
        ({"lr": float("inf")}, "--lr inf: wanted a finite number"),
        ({"cell": 3}, "--cell: got 3, wanted str"),
    ]:
        with pytest.raises(training.BadInput, match=words):
            echo(out=tmp_path / "run", **options)
    assert echo(lr=1, hidden=np.int64(3)).settings["lr"] == 1.0


def test_every_number_among_the_options_has_bounds():
    for name, (_, task) in all_tasks().items():
        for option, (hint, _) in task.options().items():
            if int in (hint.__origin__, *getattr(hint.__origin__, "__args__", ())):
                info = hint.__metadata__[0]
                assert info.min is not None and info.max is not None, (name, option)


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_a_loss_that_ran_away_is_no_success(steps, tmp_path, plain_curves):
    for lr in (1e9, 1e30):
        run = tmp_path / f"{lr}"
        with pytest.raises(training.BadInput, match=r"loss is .* at step \d.*; the checkpoint in .* is the one before"):
            Line(out=run, steps=steps, every=9, lr=lr).run()
        _, metadata = io.load(run / files.CHECKPOINT)
        assert metadata["checkpoint"]["run"]["step"] == 0 and not (run / files.LOG).exists()
    Line(out=tmp_path / "fine", steps=steps).run()
