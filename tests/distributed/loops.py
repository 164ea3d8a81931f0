"""Loops of one's own, on several ranks: each checks what it has against what one process computes, in float64."""

import signal
import sys
import time
from pathlib import Path

import numpy as np
import trainers

import minigrad as mg
from minigrad import nn, optim
from minigrad.distributed import DataParallel, all_reduce, gradients, rank, share, size, world
from minigrad.distributed.samples import gathered
from minigrad.distributed.world import RankError, broadcast, refuse_apart
from minigrad.kernels import machine
from minigrad.training import Hook, Stopped

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(4, 7, 3)), RNG.normal(size=(4, 7, 2))


class Model(nn.Module):
    """With a parameter that some samples use, one that none does, one that is frozen, and one of float32."""

    def __init__(self, seed):
        generator = np.random.default_rng(seed)
        self.layers = [nn.Linear(3, 5, generator=generator), nn.Linear(5, 2, generator=generator)]
        self.rare, self.never = nn.Parameter(np.ones(2)), nn.Parameter(np.ones(2))
        self.frozen = nn.Parameter(np.full(2, 0.5), requires_grad=False)
        self.astype("float64")
        self.narrow = nn.Parameter(np.ones(2, "float32"))

    def forward(self, x):
        y = self.layers[1](mg.tanh(self.layers[0](x))) * self.frozen + self.narrow
        rare = np.abs(x.numpy()).max(axis=1) > 2
        return y * mg.where(mg.tensor(rare[:, None]), self.rare, 1.0) if rare.any() else y


def check_steps(count: int, by_rank: bool) -> None:
    """Steps of Adam, with shares that are not equal, or empty; rank 0's weights are those of all."""
    gradients.BUCKET = 64
    model, alone = DataParallel(Model(rank() if by_rank else 0)), Model(0)
    optimizers = [
        optim.Adam([p for p in m.parameters() if p.requires_grad and p.dtype == "float64"], lr=0.1)
        for m in (model, alone)
    ]
    rows = share(count)
    for x, y in zip(X[:, :count], Y[:, :count]):
        model.zero_grad()
        alone.zero_grad()
        own = rows if rows.stop > rows.start else slice(0, 1)
        loss = mg.square(model(mg.tensor(x[own])) - y[own]).mean()
        of_all = model.backward(loss, terms=rows.stop - rows.start)
        whole = mg.square(alone(mg.tensor(x)) - y).mean()
        whole.backward()
        assert abs(of_all - whole.item()) < 1e-12
        for (name, p), q in zip(model.module.named_parameters(), alone.parameters()):
            if p.requires_grad:
                assert (p.grad is None) == (q.grad is None), name
                assert (
                    p.grad is None or np.abs(p.grad.numpy() - q.grad.numpy()).max() < 1e-6 * (name == "narrow") + 1e-12
                )
        for optimizer in optimizers:
            optimizer.step()
    assert model.module.never.grad is None
    assert sum(p.grad is not None for p in model.parameters() if p.requires_grad) >= 5


def check_sums() -> None:
    n, r = size(), rank()
    assert all_reduce(r) == n * (n - 1) // 2 and all_reduce(r, "max") == n - 1 and all_reduce(1.5) == 1.5 * n
    assert all_reduce(np.array([True, r == 0])).tolist() == [n, 1]
    assert all_reduce(mg.full(2, float(r)), "min").tolist() == [0, 0]
    assert broadcast({"of": r}) == {"of": 0}
    for count in (2, 7):
        whole = np.linspace(-0.0, 1, 5 * count).reshape(5, count) * -1
        assert gathered(whole[:, share(count)], 1, count).tobytes() == whole.tobytes()
    assert all_reduce(np.arange(9)[share(9)].sum()) == 36


def check_places(cores: int) -> None:
    """Ranks share no processor, if there are cores enough."""
    mine = machine.affinity()
    there = all_reduce(np.array([k in mine for k in range(1024)]))
    assert there.max() == 1 or size() > cores


def check_apart() -> None:
    model = nn.Linear(2, 2, generator=np.random.default_rng(0))
    refuse_apart(model.state_dict(), 3)
    if rank() == 1:
        with mg.no_grad():
            model.bias[1] = np.nextafter(model.bias[1].item(), 9, dtype="float32")
    try:
        refuse_apart(model.state_dict(), 3)
        raise AssertionError("nothing was noticed")
    except RankError as error:
        assert str(error).startswith("after step 3 the ranks have different values of bias: "), error


def check_signal(out: Path) -> None:
    """One rank gets a signal: all stop after the same step, and save."""
    try:
        trainers.trainer(out, steps=9, at=lambda k: rank() == 1 and k == 8 and signal.raise_signal(signal.SIGINT)).run()
        raise AssertionError("no rank has stopped")
    except Stopped as stopped:
        assert stopped.number == signal.SIGINT and "after step 5" in str(stopped)


def check_slow_checkpoint(out: Path) -> None:
    """Rank 0 may write for longer than ranks wait for each other between steps."""
    before = world.PATIENCE

    class Slow(Hook):
        def saved(self, trainer):
            if trainer.done == trainer.steps:
                world.PATIENCE = 1.0
                time.sleep(0 if rank() else 2)

    trainer = trainers.trainer(out, steps=1)
    trainer.hooks = [Slow()]
    trainer.run()
    world.PATIENCE = before


if __name__ == "__main__":
    mg.set_num_threads(1)
    cores = len(machine.found().cores)
    check_sums()
    check_places(cores)
    check_steps(7, by_rank=True)
    check_steps(2, by_rank=False)
    check_apart()
    trainers.trainer(Path(sys.argv[1]) / "whole", steps=9).run()
    check_signal(Path(sys.argv[1]) / "parts")
    check_slow_checkpoint(Path(sys.argv[1]) / "slow")
