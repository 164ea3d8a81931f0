"""What every task gets: options declared once, the docstring's task as it stands there."""

import signal
import sys
import types

import numpy as np
import pytest

import minigrad as mg
from minigrad import cli, io
from minigrad.models.tasks import training


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
    for name, (module, task) in cli.tasks().items():
        assert task.name == name and module.__doc__.splitlines()[0].endswith(".")
        assert all(hint.__metadata__[0].help for hint, _ in task.options().values())


def test_the_weights_kept_are_the_best_on_valid(echo, tmp_path, capsys):
    class Chosen(echo):
        best_on, figure, hidden, every, stop = "valid", "mistakes", 3, 2, None
        seen: dict = {}

        def train_loss(self, step):
            if step == self.stop:
                signal.raise_signal(signal.SIGINT)
            return super().train_loss(step)

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
