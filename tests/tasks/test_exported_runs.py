"""`minigrad export`: the model of a run, as onnxruntime runs it."""

import sys

import numpy as np
import onnxruntime
import pytest

import minigrad as mg
from minigrad import tree
from minigrad.cli.tasks import tasks
from minigrad.models.tasks import files
from minigrad.models.tasks.adding import Adding

WITH_DATA = {
    "entities",
    "music",
    "nab",
    "speech",
    "tagging",
    "translation",
    "treebank",
}  # which somebody has to download
LARGE = {"captions", "documents", "sentiment"}  # whose data take seconds to read
NAMES = [
    pytest.param(name, marks=pytest.mark.heavy if name in LARGE else ()) for name in sorted(tasks().keys() - WITH_DATA)
]


def run(path, *arrays):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {i.name: a for i, a in zip(session.get_inputs(), arrays, strict=True)})


def test_a_run_is_exported_with_what_it_has_learnt(minigrad, tmp_path):
    folder, out = tmp_path / "run", tmp_path / "adding.onnx"
    options = ("--steps", 1, "--length", 5, "--hidden", 4, "--cell", "gru", "--batch", 3)
    assert minigrad("train", "adding", *options, "--out", folder)[0] == 0
    code, told, err = minigrad("export", folder, "-o", out)
    assert (code, err) == (0, "")
    assert told.splitlines()[1:] == ["takes x float32[x_0, x_1, 2]", "gives output float32[1, x_1, 1]"]
    task = Adding(out=folder, resume=True)
    files.load_weights(task.model, files.read_weights(folder)[0], folder)
    x = np.random.default_rng(0).normal(size=(7, 4, 2)).astype("float32")
    with mg.no_grad():
        np.testing.assert_allclose(run(out, x)[0], task.model(mg.tensor(x), last=1).numpy(), rtol=1e-5, atol=1e-6)


def test_what_cannot_be_exported_is_told_in_a_line(minigrad, tmp_path, monkeypatch):
    assert "not the folder of a run" in minigrad("export", tmp_path)[2]
    assert "ends in .onnx" in minigrad("export", tmp_path, "-o", tmp_path / "model.pt")[2]
    monkeypatch.setitem(sys.modules, "onnx", None)
    code, _, err = minigrad("export", tmp_path)
    assert code == 2 and "pip install 'minigrad-rnn[onnx]'" in err and len(err.splitlines()) == 1


@pytest.mark.parametrize("name", NAMES)
def test_what_a_task_serves_is_exported(name, tmp_path):
    _, task = tasks()[name]
    small = {"hidden": 4, "embedding": 4} if "embedding" in task.options() else {"hidden": 4}
    made = task(out=tmp_path / "run", **small)
    f, args, kwargs = made.served()
    mg.export(f, args, tmp_path / "model.onnx", kwargs)
    made.model.eval()
    leaves = [np.asarray(x.numpy() if isinstance(x, mg.Tensor) else x) for x in tree.flatten(args)[0]
              if isinstance(x, (mg.Tensor, np.ndarray))]  # fmt: skip
    with mg.no_grad():
        wanted, _ = tree.flatten(
            f(*tree.map(lambda x: mg.tensor(x) if isinstance(x, np.ndarray) else x, args), **kwargs)
        )
    for a, b in zip(run(tmp_path / "model.onnx", *leaves), wanted, strict=True):
        np.testing.assert_allclose(a, b.numpy(), rtol=1e-4, atol=1e-5)
