"""Losses: PyTorch's values and gradients, extremes, and what is refused."""

import numpy as np
import pytest

import minigrad as mg

REDUCTIONS = pytest.mark.parametrize("reduction", ["mean", "sum", "none"])


def compare(ours, theirs, x, dtype="float64"):
    """Value and gradient of ours(tensor) and theirs(torch tensor) at x."""
    import torch

    a, b = mg.tensor(x.astype(dtype), requires_grad=True), torch.tensor(x.astype(dtype), requires_grad=True)
    y, z = ours(a), theirs(b)
    assert y.dtype == dtype
    close = {"rtol": 1e-11, "atol": 1e-12} if dtype == "float64" else {"rtol": 2e-5, "atol": 2e-6}
    np.testing.assert_allclose(y.detach().numpy(), z.detach().numpy(), **close)
    g = np.asarray(np.cos(np.arange(y.size)).reshape(y.shape), dtype)
    y.backward(g)
    z.backward(torch.tensor(g))
    np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), **close)


@REDUCTIONS
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(5,), (4, 5), (2, 5, 3), (2, 5, 3, 2)])
@pytest.mark.parametrize("ignored", [False, True])
def test_cross_entropy_is_pytorchs(torch, reduction, dtype, shape, ignored):
    rng = np.random.default_rng(0)
    x = rng.normal(size=shape) * 3
    t = rng.integers(0, 5, shape[:1] + shape[2:] if len(shape) > 1 else ())
    if ignored and t.ndim:
        t.flat[1:3] = -100
    compare(
        lambda x: mg.cross_entropy(x, t, reduction=reduction),
        lambda x: torch.nn.functional.cross_entropy(x, torch.tensor(t), reduction=reduction), x, dtype,
    )  # fmt: skip


def test_cross_entropy_of_extreme_logits():
    x = mg.tensor([[1e4, 0.0, -1e4], [-np.inf, 1.0, 1.0], [0.0, 0.0, 3e38]], requires_grad=True)
    losses = mg.cross_entropy(x, [1, 2, 2], reduction="none")
    np.testing.assert_allclose(losses.detach().numpy(), [1e4, np.log(2), 0], rtol=1e-6)
    losses.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [[1, -1, 0], [0, 0.5, -0.5], [0, 0, 0]], atol=1e-6)


def test_an_ignored_target_has_no_gradient_and_the_mean_does_not_count_it():
    x = mg.tensor(np.eye(3), requires_grad=True)
    mg.cross_entropy(x, np.array([0, 7, 2]), ignore_index=7).backward()
    assert (x.grad.numpy()[1] == 0).all()
    np.testing.assert_allclose(x.grad.numpy()[0, 0], (np.e / (np.e + 2) - 1) / 2)
    assert np.isnan(mg.cross_entropy(x, np.full(3, -100)).item())
    assert mg.cross_entropy(x, np.full(3, -100), reduction="sum").item() == 0


@pytest.mark.parametrize("jitted", [False, True])
@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 2)])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, [0.0, -np.inf, np.nan]], ids=str)
def test_the_logits_of_an_ignored_target_are_no_matter(torch, bad, shape, jitted):
    """Gradients of both orders are those for ordinary logits there, as is PyTorch's loss (its gradient is NaN)."""
    logits, targets = np.random.default_rng(0).normal(size=shape), np.ones((4, *shape[2:]), int)
    targets[1:3] = -100
    spoilt = logits.copy()
    spoilt[1:3] = np.reshape(bad, (-1, *[1] * (len(shape) - 2)))
    f = mg.jit(mg.cross_entropy) if jitted else mg.cross_entropy
    theirs = torch.tensor(logits, requires_grad=True)
    wanted = torch.nn.functional.cross_entropy(theirs, torch.tensor(targets))
    (first,) = torch.autograd.grad(wanted, theirs, create_graph=True)
    (second,) = torch.autograd.grad((first**2).sum(), theirs)
    x = mg.tensor(spoilt)
    np.testing.assert_allclose(f(x, targets).item(), wanted.item())
    np.testing.assert_allclose(mg.grad(f)(x, targets).numpy(), first.detach().numpy(), atol=1e-15)
    squares = mg.grad(lambda x: (mg.grad(f)(x, targets) ** 2).sum())
    np.testing.assert_allclose(squares(x).numpy(), second.numpy(), atol=1e-15)


@pytest.mark.parametrize(
    ("logits", "targets", "error", "words"),
    [((2, 3), [0, 3], IndexError, "targets from 0 to 3, wanted classes from 0 to 2"),
     ((2, 3), [0, -1], IndexError, "targets from -1 to 0"), ((2, 3), [0, 1, 2], ValueError, r"wanted targets \(2,\)"),
     ((2, 3), [0.0, 1.0], ValueError, r"float64 \(2,\), wanted targets \(2, 3\)"),
     ((), 0, ValueError, "without an axis"),
     ((2,), [True, False], TypeError, "targets of bool"),
     ((2, 3, 4), [0, 1], ValueError, r"wanted targets \(2, 4\)")],
)  # fmt: skip
def test_cross_entropy_says_what_is_wrong(logits, targets, error, words):
    with pytest.raises(error, match=f"^cross_entropy: .*{words}"):
        mg.cross_entropy(np.zeros(logits), np.asarray(targets))


def test_nll_loss_and_weights_say_what_is_wrong():
    x = np.zeros((2, 3))
    with pytest.raises(TypeError, match="^nll_loss: got float targets"):
        mg.nll_loss(x, x)
    for loss in (mg.nll_loss, mg.cross_entropy):
        with pytest.raises(ValueError, match=rf"^{loss.__name__}: got a weight of shape \(2,\), wanted .* \(3,\)"):
            loss(x, [0, 1], np.ones(2))
        for wrong in (3, -1):
            with pytest.raises(IndexError):
                loss(x, [0, wrong])
    with pytest.raises(ValueError, match="label_smoothing=2"):
        mg.cross_entropy(x, [0, 1], label_smoothing=2)


@pytest.mark.parametrize("jitted", [False, True])
def test_an_ignored_row_is_no_matter_with_weights_and_smoothing(jitted):
    weight = np.array([0.5, 1.0, 2.0])

    def f(x, t):
        return mg.cross_entropy(x, t, weight, label_smoothing=0.3)

    rows, spoilt = np.random.default_rng(0).normal(size=(2, 3)), np.full((1, 3), np.nan)
    x, t = np.concatenate([rows, spoilt]), np.array([0, 2, -100])
    g = mg.grad(mg.jit(f) if jitted else f)(mg.tensor(x), t).numpy()
    np.testing.assert_allclose(
        g, np.concatenate([mg.grad(f)(mg.tensor(rows), t[:2]).numpy(), np.zeros((1, 3))]), atol=1e-15
    )


@REDUCTIONS
def test_binary_cross_entropy_is_pytorchs(torch, reduction):
    x = np.array([[-3.0, 0.0, 2.0], [700.0, -700.0, 1.0]])
    t = np.array([[0.0, 1.0, 0.3], [1.0, 1.0, 0.0]])
    theirs = torch.nn.functional.binary_cross_entropy_with_logits
    compare(
        lambda x: mg.binary_cross_entropy_with_logits(x, t, reduction=reduction),
        lambda x: theirs(x, torch.tensor(t), reduction=reduction), x,
    )  # fmt: skip


def test_binary_cross_entropy_of_certain_logits_is_small_not_zero():
    losses = mg.binary_cross_entropy_with_logits(np.float32([30, -30]), np.float32([1, 0]), reduction="none").numpy()
    np.testing.assert_allclose(losses, np.exp(-30.0), rtol=1e-5)


@REDUCTIONS
@pytest.mark.parametrize("delta", [1.0, 0.3])
def test_mse_and_huber_are_pytorchs(torch, reduction, delta):
    functional = torch.nn.functional
    x, t = np.array([[0.1, 1.0, -2.0], [3.0, 0.0, 0.3]]), np.zeros((2, 3))  # on the kink at delta too
    u = torch.tensor(t)
    compare(lambda x: mg.mse(x, t, reduction), lambda x: functional.mse_loss(x, u, reduction=reduction), x)
    compare(
        lambda x: mg.huber(x, t, reduction, delta), lambda x: functional.huber_loss(x, u, reduction, delta=delta), x
    )


def test_gradients_reach_the_target():
    t = mg.tensor([1.0, 2.0], requires_grad=True)
    mg.mse(np.zeros(2), t, reduction="sum").backward()
    np.testing.assert_array_equal(t.grad.numpy(), [2, 4])


@pytest.mark.parametrize("name", ["mse", "huber", "binary_cross_entropy_with_logits"])
def test_losses_say_what_is_wrong(name):
    loss = getattr(mg, name)
    with pytest.raises(ValueError, match=rf"^{name}: got shapes \(2,\) and \(3,\)"):
        loss(np.zeros(2), np.zeros(3))
    with pytest.raises(ValueError, match=f"^{name}: got reduction='average', wanted 'mean'"):
        loss(np.zeros(2), np.zeros(2), reduction="average")
    with pytest.raises(ValueError, match="^huber: delta=0, wanted more than 0"):
        mg.huber(np.zeros(2), np.zeros(2), delta=0)
