"""The Trainer: a run goes on bit for bit, accumulated gradients are those of one batch, the average of weights is what
its formula says; batches are each example once an epoch."""

import csv
import math
import signal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad import io, nn, optim
from minigrad.models import LSTM
from minigrad.training import (
    CSV,
    EMA,
    Batches,
    EarlyStopping,
    Hook,
    Progress,
    RunError,
    Stopped,
    TensorBoard,
    Trainer,
    files,
    pad,
    rates,
)

X = np.random.default_rng(0).normal(size=(40, 3)).astype("float32")
Y = X.sum(axis=1, keepdims=True)
LENGTHS = np.random.default_rng(1).integers(1, 30, 40)
batches = Batches(40, 8, lengths=LENGTHS, seed=3)


class Model(nn.Module):
    """With dropout, whose draws a resumed run goes on with."""

    def __init__(self):
        self.layers = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.3), nn.Linear(4, 1))

    def forward(self, x):
        return self.layers(x)


def trainer(out, **options):
    nn.manual_seed(0)
    model = Model()
    noise = np.random.default_rng(5)

    def loss(x, y):
        return ((model(x) - y) ** 2).mean()

    def batch(step):
        x = X[batches(step)]
        return x + noise.normal(size=x.shape).astype("float32") / 10, Y[batches(step)]

    def evaluate():
        return {"held_out_loss": loss(mg.tensor(X), mg.tensor(Y)).item()}

    options = {"optimizer": optim.Adam, "lr": 0.01, "loss": loss, "batches": batch, "evaluate": evaluate, **options}
    optimizer = options.pop("optimizer")(model.parameters(), lr=options.pop("lr"))
    given = dict(steps=12, every=4, hooks=[CSV()], parts={"noise": noise}) | options
    return Trainer(model, optimizer, given.pop("loss"), given.pop("batches"), out=out, **given)


class Killed(Hook):
    def __init__(self, at, number=signal.SIGINT):
        self.at, self.number = at, number

    def step(self, trainer):
        if trainer.done == self.at:
            signal.raise_signal(self.number)


def content(run):
    """Of a run's files all but the clock."""
    rows = list(csv.DictReader((run / files.LOG).read_text().splitlines()))
    kept = [{k: v for k, v in row.items() if "second" not in k} for row in rows]
    arrays = {**io.load(run / files.WEIGHTS)[0], **io.load(run / files.CHECKPOINT)[0]}
    return kept, {name: array.tobytes() for name, array in arrays.items()}


OPTIONS = {
    "plain": {},
    "all": dict(
        accumulate=3, ema=0.9, clip=1.0, best_on="held_out_loss", schedule=optim.warmup(3, optim.cosine(9)),
        optimizer=optim.AdamW,
    ),
}  # fmt: skip


@pytest.mark.parametrize("at", [1, 4, 7])
@pytest.mark.parametrize("kind", OPTIONS)
def test_a_run_that_was_stopped_goes_on_bit_for_bit(kind, at, tmp_path):
    options = OPTIONS[kind]
    row = trainer(tmp_path / "whole", **options).run()
    with pytest.raises(Stopped, match=f"stopped after step {at}") as stopped:
        trainer(tmp_path / "parts", **options, hooks=[CSV(), Killed(at)]).run()
    assert stopped.value.number == signal.SIGINT and isinstance(stopped.value, KeyboardInterrupt)
    with pytest.raises(RunError, match=r"not empty: run\(resume=True\) goes on"):
        trainer(tmp_path / "parts", **options).run()
    again = trainer(tmp_path / "parts", **options)
    resumed = again.run(resume=True)
    assert again.began == at and content(tmp_path / "whole") == content(tmp_path / "parts")
    assert {k: v for k, v in row.items() if "second" not in k}.items() <= resumed.items()


def test_accumulated_gradients_are_those_of_one_batch(tmp_path):
    def batch_of(size):
        return lambda step: (X[step * size % 40 :][:size], Y[step * size % 40 :][:size])

    options = dict(optimizer=optim.SGD, parts=None, evaluate=None, lr=0.1)
    one = trainer(tmp_path / "one", batches=batch_of(20), **options)
    three = trainer(tmp_path / "parts", batches=batch_of(5), accumulate=4, **options)
    for t in (one, three):
        t.model.eval()  # no dropout: its draws would differ
        t.run()
        assert not t.model.training
    for a, b in zip(one.model.parameters(), three.model.parameters()):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-5, atol=1e-6)
    assert one.rows[0]["loss"] == pytest.approx(three.rows[0]["loss"], rel=1e-5)


def test_an_average_of_weights():
    layer = nn.Linear(2, 1)
    ema, wanted = EMA(layer, 0.5), layer.weight.numpy().astype(float)
    for n in range(6):
        layer.load_state_dict({"weight": layer.weight.numpy() + 1 + n, "bias": layer.bias.numpy()})
        d = min(0.5, (1 + n) / (10 + n))
        wanted = d * wanted + (1 - d) * layer.weight.numpy()
        ema.update()
    weights = layer.weight.numpy().copy()
    with pytest.raises(ZeroDivisionError), ema.applied():
        np.testing.assert_allclose(layer.weight.numpy(), wanted, rtol=1e-6)
        raise ZeroDivisionError
    np.testing.assert_array_equal(layer.weight.numpy(), weights)
    other = EMA(layer, 0.5)
    with pytest.raises(ValueError, match=r"average\.weight"):
        other.load_state_dict({**ema.state_dict(), "average.weight": np.zeros(3)})
    other.load_state_dict(ema.state_dict())
    assert other.count == 6 and (other.average["weight"] == ema.average["weight"]).all()


def test_the_average_is_evaluated_and_saved(tmp_path):
    run = trainer(tmp_path, ema=0.9)
    seen = []
    run.evaluate = lambda: seen.append(run.model.state_dict()) or {}
    run.run()
    kept, settings = io.load(tmp_path / files.WEIGHTS)
    assert settings["step"] == run.ema.count == 12
    for name, array in kept.items():
        assert (array == seen[-1][name]).all() and (array == run.ema.average[name]).all()
        assert (array != run.model.state_dict()[name]).any()


def test_early_stopping_and_the_best_weights(tmp_path):
    values = iter([3.0, 2.0, 2.5, 1.9, 2.0, 2.1, 2.2, 0.0])
    kept = {}

    def told():
        value = next(values)
        kept[value] = run.model.state_dict()
        return {"valid": value}

    options = dict(evaluate=told, every=1, best_on="valid", hooks=[CSV(), EarlyStopping("valid", patience=2)])
    run = trainer(tmp_path, **options)
    row = run.run()
    assert (run.done, row["step"], row["valid"]) == (7, 4, 1.9) and "for 3 evaluations" in run.reason
    weights, settings = io.load(tmp_path / files.WEIGHTS)
    assert settings["step"] == 4 and all((weights[k] == kept[1.9][k]).all() for k in weights)
    run = trainer(tmp_path, **options)
    assert run.run(resume=True) == row and run.done == 7  # and a resumed run does not begin again


def test_the_finder_sets_all_back_and_suggests_a_rate_that_learns(tmp_path):
    run = trainer(tmp_path, ema=0.9, optimizer=optim.SGD)
    before = {name: io.state_of(name, part) for name, part in run.parts.items()}
    found = run.find_lr(1e-5, 1e3, 80)
    assert len(found.rates) == len(found.losses) < 80  # it ran away, and the search ended
    assert found.rates[0] == 1e-5 and 1e-3 < found.suggested < 2
    after = {name: io.state_of(name, part) for name, part in run.parts.items()}
    np.testing.assert_equal(after, before)
    assert not any(tmp_path.iterdir()) and run.optimizer.lr == 0.01
    with pytest.raises(ValueError, match=r"find_lr: .*least"):
        run.find_lr(1.0, 0.1)


def test_the_search_ends_where_the_loss_has_grown_much():
    found = rates.search(lambda k, rate: 1.0 if k < 5 else 100.0, 1e-4, 1.0, 50)
    assert len(found.rates) == 5 and found.losses[-1] == pytest.approx(1.0)


def test_hooks_are_called_in_order(tmp_path):
    calls = []

    class Told(Hook):
        def begin(self, trainer):
            calls.append(("begin", trainer.done))

        def step(self, trainer):
            calls.append(("step", trainer.done, len(trainer.losses)))

        def evaluated(self, trainer):
            calls.append(("evaluated", trainer.rows[-1]["step"]))
            if trainer.done == 4:
                trainer.stop("enough")

        def saved(self, trainer):
            calls.append(("saved", (tmp_path / files.CHECKPOINT).exists()))

        def end(self, trainer):
            calls.append(("end",))

    trainer(tmp_path, every=2, hooks=[Told()]).run()
    steps = [("step", 1, 1), ("step", 2, 2), ("evaluated", 2), ("saved", True)]
    steps += [("step", 3, 1), ("step", 4, 2), ("evaluated", 4), ("saved", True)]
    assert calls == [("begin", 0), ("saved", True), *steps, ("end",)]


def test_what_is_told_without_a_terminal(tmp_path, capsys, monkeypatch):
    for without in (False, True):
        if without:
            monkeypatch.setattr("minigrad.training.hooks.tqdm", None)
        trainer(tmp_path / str(without), hooks=[Progress()], figure="held_out_loss").run()
        out, err = capsys.readouterr()
        lines = out.splitlines()
        assert [line.split()[:2] for line in lines] == [["step", "4"], ["step", "8"], ["step", "12"]] and err == ""
        assert all("held out loss" in line and "steps per second" in line for line in lines)


def test_tensorboard(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with pytest.raises(Stopped):
        trainer(tmp_path, hooks=[CSV(), TensorBoard(), Killed(5)]).run()
    run = trainer(tmp_path, hooks=[CSV(), TensorBoard()])
    run.run(resume=True)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    (tag,) = (tag for tag in events.Tags()["tensors"] if "held_out_loss" in tag)
    assert [event.step for event in events.Tensors(tag)] == [4, 8, 12]


def test_what_is_refused(tmp_path):
    def run(name, **options):
        return trainer(tmp_path / name, **options).run()

    with pytest.raises(RunError, match=r"the loss is .* at step \d+: try a smaller lr; the checkpoint in .* before"):
        run("runaway", lr=1e30)
    with pytest.raises(TypeError, match="Trainer: loss gave 3, wanted a tensor of one number"):
        run("loss", loss=lambda x, y: 3)
    with pytest.raises(ValueError, match="evaluate gave no valid; it gave held_out_loss"):
        run("figure", best_on="valid")
    with pytest.raises(ValueError, match="parts named model"):
        trainer(tmp_path / "parts", parts={"model": np.random.default_rng(0)})
    with pytest.raises(RunError, match=r"cannot resume: .* holds the parts .*noise; wanted"):
        run("one")
        trainer(tmp_path / "one", parts=None).run(resume=True)
    with pytest.raises(FileNotFoundError):
        trainer(tmp_path / "none").run(resume=True)


# Batches


@given(
    lengths=st.lists(st.integers(0, 50), min_size=1, max_size=60), size=st.integers(1, 9), pool=st.integers(1, 4),
    seed=st.integers(0, 9), epoch=st.integers(0, 3),
)  # fmt: skip
def test_each_example_is_in_one_batch_of_an_epoch(lengths, size, pool, seed, epoch):
    drawn = Batches(len(lengths), size, lengths=lengths, pool=pool, seed=seed)
    steps = range(epoch * len(drawn), (epoch + 1) * len(drawn))
    seen = [drawn(step) for step in steps]
    assert sorted(np.concatenate(seen).tolist()) == list(range(len(lengths)))
    assert sorted(map(len, seen))[1:] == [size] * (len(drawn) - 1)
    again = Batches(len(lengths), size, lengths=lengths, pool=pool, seed=seed)
    for step in reversed(steps):  # whatever was asked for before
        assert (again(step) == seen[step - steps[0]]).all()


def test_batches_by_length_pad_little_and_their_order_is_drawn():
    lengths = np.random.default_rng(0).integers(1, 200, 1000)

    def padding(batches):
        steps = [batches(k) for k in range(len(batches))]
        return sum(lengths[b].max() * len(b) for b in steps) / lengths.sum() - 1

    alike, mixed = Batches(1000, 20, lengths=lengths), Batches(1000, 20)
    assert padding(alike) < 0.05 < 0.5 < padding(mixed)
    means = [lengths[alike(k)].mean() for k in range(len(alike))]
    assert abs(np.corrcoef(means, range(len(means)))[0, 1]) < 0.5  # not from short to long
    assert any((alike(k) != alike(k + len(alike))).any() for k in range(len(alike)))  # another order the next epoch


@given(data=st.data())
def test_padded_sequences_give_what_each_alone_gives(data):
    lengths = data.draw(st.lists(st.integers(0, 5), min_size=1, max_size=4).filter(any))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    sequences = [rng.normal(size=(n, 2)).astype("float32") for n in lengths]
    assert pad([[], [1, 2]])[0].dtype.kind == "i"
    padded, found = pad(sequences, value=math.pi)
    assert padded.shape == (max(lengths), len(lengths), 2) and found.tolist() == lengths and padded.dtype == "float32"
    layer = LSTM(2, 3)
    _, (h, _) = layer(mg.tensor(padded), lengths=found)
    for b, sequence in enumerate(sequences):
        if len(sequence):
            _, (alone, _) = layer(mg.tensor(sequence[:, None]))
            np.testing.assert_allclose(h.numpy()[:, b], alone.numpy()[:, 0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("wrong", [[], 3, [[[1, 2]], [1]], ["ab"], [1, 2], [[None]]])
def test_what_cannot_be_padded_is_refused(wrong):
    with pytest.raises(ValueError, match="pad: wanted sequences of numbers"):
        pad(wrong)
