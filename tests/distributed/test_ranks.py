"""Several ranks compute what one process does; and one that fails ends all, and leaves a checkpoint that resumes."""

import json
import math

import numpy as np
import pytest
import train_tasks
import trainers
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad import io, nn, optim
from minigrad.badinput import BadInput
from minigrad.distributed import DataParallel, all_reduce, rank, share, size
from minigrad.distributed.gradients import first_used_first
from minigrad.distributed.samples import Draws
from minigrad.models.tasks.training import sample_axes
from minigrad.training import Division
from minigrad.training.ranks import Ranks

TINY = {"steps": 4, "every": 3, "hidden": 4}


@pytest.fixture
def treebank(tmp_path):
    """Sentences of 1 to 20 words, two tags."""
    rng = np.random.default_rng(0)
    for part, count in (("dev", 40), ("test", 12)):
        sentences = []
        for _ in range(count):
            words = ["".join(rng.choice(list("abcd"), rng.integers(2, 5))) for _ in range(rng.integers(1, 20))]
            lines = [
                f"{k}\t{word}\t_\t{'VN'[len(word) % 2]}{chr(9)}{chr(9).join('______')}"
                for k, word in enumerate(words, 1)
            ]
            sentences.append("\n".join(lines) + "\n")
        (tmp_path / f"xx-ud-{part}.conllu").write_text("\n".join(sentences), encoding="utf-8")
    return str(tmp_path)


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("".join(np.random.default_rng(0).choice(list("abcd "), 2000)))
    return str(path)


def apart(a, b, file="checkpoint.safetensors") -> float:
    """The greatest difference of two runs' arrays."""
    (one, _), (other, _) = (io.load(run / file) for run in (a, b))
    assert one.keys() == other.keys()
    return max(np.abs(one[name] - other[name]).max() for name in one)


# On ranks


def test_tasks_are_trained_as_by_one_process(on_ranks, tmp_path, treebank, text):
    """With shares that are not equal, and dropout; words differ in number, so that a mean of means would be another."""
    runs = [
        ("charlm", {**TINY, "embedding": 3, "length": 5, "batch": 7, "dropout": 0.3, "layers": 2, "text": text}, {}),
        ("nextframe", {**TINY, "steps": 2, "hidden": 2, "batch": 4}, {"jit": False}),
        ("listops", {**TINY, "embedding": 3, "batch": 5}, {"jit": False}),
        ("tagging", {**TINY, "batch": 5, "data": treebank}, {"jit": False}),
    ]  # fmt: skip

    def given(folder):
        return [[name, {**options, "out": str(tmp_path / folder / name)}, more] for name, options, more in runs]

    result = on_ranks(2, "train_tasks.py", json.dumps(given("two")))
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("charlm: 2 ranks; ") and result.stdout.count("charlm: ") == 1
    train_tasks.main(given("one"))
    for name, *_ in runs:
        assert apart(tmp_path / "one" / name, tmp_path / "two" / name) < 1e-12, name
        assert len(list((tmp_path / "two" / name).iterdir())) == 4  # nothing of the other ranks


def test_loops_of_ones_own(on_ranks, tmp_path):
    """Of loops.py; and a run of three ranks goes on with one."""
    result = on_ranks(3, "loops.py", str(tmp_path))
    assert result.returncode == 0, result.stderr
    trainers.trainer(tmp_path / "one", steps=9).run()
    assert apart(tmp_path / "one", tmp_path / "whole") < 1e-12
    trainers.trainer(tmp_path / "parts", steps=9).run(resume=True)
    assert apart(tmp_path / "one", tmp_path / "parts") < 1e-12


def test_a_rank_that_is_killed_ends_all_and_the_run_goes_on_bit_for_bit(on_ranks, tmp_path, text):
    options = {**TINY, "steps": 8, "embedding": 3, "length": 5, "batch": 5, "dropout": 0.3, "text": text}
    whole, parts = ([["charlm", {**options, "out": str(tmp_path / name)}]] for name in ("whole", "parts"))
    whole[0].append({"jit": False})
    parts[0].append({"jit": False, "fails": "kill", "at": 6, "on": 1})
    result = on_ranks(2, "train_tasks.py", json.dumps(whole + parts), timeout=60)
    assert result.returncode and "(signal 9)" in result.stdout + result.stderr
    assert io.load(tmp_path / "parts" / "weights.safetensors")[1]["step"] == 3
    again = [["charlm", {"resume": True, "out": str(tmp_path / "parts")}, {"jit": False}]]
    assert on_ranks(2, "train_tasks.py", json.dumps(again)).returncode == 0
    for name in ("weights.safetensors", "checkpoint.safetensors"):
        assert apart(tmp_path / "whole", tmp_path / "parts", name) == 0


@pytest.mark.parametrize(
    "fails, said",
    [
        ("raise", "rank 1: Traceback (most recent call last):"),
        ("hang", "RankError: a rank hangs, or is much slower than this one: the sum of the gradients was waited for"),
    ],
)
def test_a_rank_that_fails_ends_all(on_ranks, tmp_path, fails, said):
    run = [
        "adding",
        {
            "steps": 99,
            "every": 4 if fails == "raise" else 99,
            "hidden": 4,
            "length": 5,
            "batch": 4,
            "out": str(tmp_path / "run"),
        },
    ]
    failure = {"fails": fails, "at": 6, "on": 1, "jit": False, "patience": 2}
    result = on_ranks(2, "train_tasks.py", json.dumps([[*run, failure]]), timeout=60)
    assert result.returncode
    assert said in result.stderr and result.stderr.count("Traceback") == 1
    assert io.load(tmp_path / "run" / "weights.safetensors")[1]["step"] == (4 if fails == "raise" else 0)


# What ranks rest on


def test_alone_all_is_the_identity():
    x = np.ones(2)
    assert (rank(), size(), share(5)) == (0, 1, slice(0, 5)) and all_reduce(x) is x
    layer = nn.Linear(2, 1)
    model = DataParallel(layer)
    loss = mg.square(model(x.astype("float32"))).sum()
    assert model.backward(loss, terms=2) == loss.item()
    wanted = 2 * layer(x.astype("float32")).item()
    assert layer.bias.grad.item() == pytest.approx(wanted)
    with pytest.raises(ValueError, match="got a tensor on the tape"):
        all_reduce(layer.weight)
    with pytest.raises(ValueError, match="wanted one number"):
        model.backward(model(np.ones((2, 2), "float32")))


@given(st.integers(0, 50), st.integers(1, 9))
def test_shares_are_equal_but_for_one(count, n):
    bounds = [-(-r * count // n) for r in range(n + 1)]
    sizes = np.diff(bounds)
    assert bounds[-1] == count and sizes.min() >= count // n and sizes.max() <= math.ceil(count / n)
    assert sizes[0] == sizes.max()  # the first is empty last


def test_backward_visits_a_parameter_where_its_gradient_is_complete():
    """And not at the end: the sum over ranks begins there."""
    first, last = nn.Parameter(np.ones(3)), nn.Parameter(np.ones(3))
    shared = nn.Parameter(np.ones(3))
    hidden = mg.tanh(mg.tensor(np.ones(3)) * first * shared)
    loss = (hidden * last * shared).sum()
    order = []
    for name, x in {"first": first, "last": last, "shared": shared, "hidden": hidden}.items():
        x.register_hook(lambda g, name=name: order.append(name))
    before = [p._node.seq for p in (first, last, shared)]
    with first_used_first(loss, {p._node for p in (first, last, shared)}):
        loss.backward()
    assert order.index("last") < order.index("hidden") < order.index("shared")
    assert [p._node.seq for p in (first, last, shared)] == before
    np.testing.assert_allclose(shared.grad.numpy(), (np.tanh(1) + 1 - np.tanh(1) ** 2) * np.ones(3))


def test_samples_are_drawn_for_by_their_place_in_the_batch():
    generator, shapes = np.random.default_rng(0), []

    def run(n):
        return [mg.random.normal(s, generator=generator).numpy() for s in ((4, n, 2), (n, 4), (3,), (2, 2))]

    draws = Draws(run, (2, 4))
    assert draws.found == {((4, 2, 2), 1), ((2, 4), 0), ((3,), None), ((2, 2), None)}
    generator.bit_generator.state = np.random.default_rng(1).bit_generator.state
    whole = run(7)
    for rows in (slice(0, 3), slice(3, 6), slice(6, 7)):
        generator.bit_generator.state = np.random.default_rng(1).bit_generator.state
        with draws.of(rows, 7):
            part = run(rows.stop - rows.start)
        for a, b in zip(part, [whole[0][:, rows], whole[1][rows], *whole[2:]]):
            np.testing.assert_array_equal(a, b)
    with draws.of(slice(0, 3), 7), pytest.raises(ValueError, match=r"shape \(5,\) are drawn, which was not so"):
        mg.random.normal((5,))
    assert not shapes and mg.random.normal((5,)).shape == (5,)


def test_draws_that_tell_no_axis_of_samples_are_refused():
    with pytest.raises(ValueError, match=r"shape \(6, 2\) for 2 samples and \(12, 2\) for 4"):
        Draws(lambda n: mg.random.normal((3 * n, 2)), (2, 4))
    with pytest.raises(ValueError, match="1 random draws for 2 samples and 2 for 4"):
        Draws(lambda n: [mg.random.normal((2,)) for _ in range(n // 2)], (2, 4))
    draws = Draws(lambda n: [mg.random.normal((n, 5)), mg.random.normal((5, n))], (2, 4))
    with draws.of(slice(0, 3), 6):
        pass
    with pytest.raises(ValueError, match=r"two random draws have the shape \(5, 5\)"):
        draws.of(slice(0, 5), 10)


def test_the_axis_of_samples_of_a_batch():
    assert sample_axes("task", lambda n: (np.ones((4, n)), {"a": np.ones(n), "b": np.ones(3)})) == [1, 0, None]
    for draw in (lambda n: (np.ones((n, n)),), lambda n: (np.ones(2 * n),)):
        with pytest.raises(BadInput, match="task cannot be divided between ranks: arrays of shapes"):
            sample_axes("task", draw)


class Whole:
    """What Ranks wants of a trainer."""

    def __init__(self, loss, model=None):
        self.loss, self.model, self.parts, self.accumulate = loss, model or nn.Linear(1, 1), {}, 1
        self.optimizer = optim.SGD(self.model.parameters(), lr=1)
        self.x = np.random.default_rng(0).normal(size=(8, 1)).astype("float32")

    def batches(self, step, rows=slice(None)):
        return (mg.tensor(self.x[rows]),)

    def loss_of(self, batch, trial=None):
        return (trial or self.loss)(*batch)


def test_a_loss_that_cannot_be_divided_is_refused():
    norm, layer = nn.BatchNorm1d(1), nn.Linear(1, 1)
    losses = {
        "a sum": lambda x: mg.square(layer(x)).sum(),
        "a norm of the batch": lambda x: mg.exp(norm(x)).mean(),
        "means over two things": lambda x: layer(x).mean() + layer(x[x > 0][:, None]).mean(),
        "losses that are equal, and gradients that are not": lambda x: (layer(x) - layer(x).detach()).sum() + 3,
    }
    mean = norm.state_dict()["running_mean"]
    for name, loss in losses.items():
        model = norm if "norm" in name else layer
        with pytest.raises(
            BadInput, match="cannot be divided between ranks: (the loss of a few samples is|batch_norm)"
        ):
            Ranks(Whole(loss, model), Division(8)).try_loss(0)
        np.testing.assert_array_equal(norm.state_dict()["running_mean"], mean)  # a trial leaves nothing
        assert all(p.grad is None for p in model.parameters())
    Ranks(Whole(lambda x: mg.square(layer(x)).mean(), layer), Division(8)).try_loss(0)
    terms = Division(8, terms=lambda x: (x > 0).sum())
    Ranks(Whole(lambda x: layer(x[x > 0][:, None]).mean(), layer), terms).try_loss(0)
    with pytest.raises(BadInput, match="this one has 1 sample"):
        Ranks(Whole(lambda x: x.mean()), Division(1)).try_loss(0)
    with pytest.raises(BadInput, match="wants `division`"):
        Ranks(Whole(lambda x: x.mean()), None)
