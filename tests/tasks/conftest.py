import csv
import signal
import sys
from pathlib import Path

import pytest

from minigrad import cli, io, optim


@pytest.fixture
def minigrad(monkeypatch, capsys):
    """Calls the command; returns (exit code, stdout, stderr)."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["minigrad", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        return (stop.value.code or 0, *capsys.readouterr())

    return call


@pytest.fixture
def few_steps(minigrad, monkeypatch, tmp_path):
    """Trains a task for three steps: at once, and interrupted and resumed, with the same result, bit for bit. Returns
    the last row of the log, and the folder."""

    def train(task, *options) -> tuple[dict, Path]:
        whole, parts = tmp_path / "whole", tmp_path / "parts"
        options = ("train", task, "--steps", 3, "--every", 2, *options)
        code, _, err = minigrad(*options, "--out", whole)
        assert code == 0 and err == ""

        def interrupt(self, before=optim.Schedule.step):
            before(self)
            if self.count == 1:
                signal.raise_signal(signal.SIGINT)

        with monkeypatch.context() as patch:
            patch.setattr(optim.Schedule, "step", interrupt)
            assert minigrad(*options, "--out", parts)[0] == 130
        assert minigrad("train", task, "--out", parts, "--resume")[0] == 0
        for name in ("weights.safetensors", "checkpoint.safetensors"):
            a, b = (io.load(run / name)[0] for run in (whole, parts))
            assert a.keys() == b.keys() and all(a[k].tobytes() == b[k].tobytes() for k in a)
        with (whole / "log.csv").open(newline="") as file:
            return {name: float(figure) for name, figure in list(csv.DictReader(file))[-1].items()}, whole

    return train
