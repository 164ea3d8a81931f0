"""DRAW against its equations in NumPy, and its bounds against exact integrals."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.polynomial.hermite_e import hermegauss

import minigrad as mg
from minigrad.models import DRAW, GRUCell
from minigrad.models.draw import filterbank, grid
from minigrad.models.latent import importance_bound
from minigrad.testing import gradcheck, seeds

pytestmark = pytest.mark.eager_only("no Recurrent is called here; whole models are jitted beside eager ones")
SIZES = [(None, None), (2, 3), (None, 2), (3, None)]


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def bank(parameters, N, rows, columns):
    """Equations 19 to 26, for one image, element by element."""
    g_x, g_y, log_variance, log_stride, log_gain = parameters
    centre_x, centre_y = (columns + 1) / 2 * (g_x + 1), (rows + 1) / 2 * (g_y + 1)
    stride = (max(rows, columns) - 1) / (N - 1) * np.exp(log_stride)
    F_y, F_x = np.zeros((N, rows)), np.zeros((N, columns))
    for F, centre in ((F_y, centre_y), (F_x, centre_x)):
        for i in range(N):
            for a in range(F.shape[1]):
                mean = centre + (i + 1 - N / 2 - 0.5) * stride
                F[i, a] = np.exp(-((a + 1 - mean) ** 2) / (2 * np.exp(log_variance)))
            F[i] /= F[i].sum()
    return F_y, F_x, np.exp(log_gain)


def draw(p, x, choose, sizes):
    """Equations 3 to 8 for one image; choose(t, mean, std) gives z. Canvases, and (z, mean, std) of each stroke."""
    rows, columns = x.shape
    read_size, write_size = sizes

    def linear(name, h):
        return p[name + ".weight"] @ h + p[name + ".bias"]

    def lstm(name, x, state):
        h, c = state
        a = p[name + ".weight_ih"] @ x + p[name + ".bias_ih"] + p[name + ".weight_hh"] @ h + p[name + ".bias_hh"]
        i, f, g, o = np.split(a, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        return sigmoid(o) * np.tanh(c), c

    enc, dec = [(p[f"first.{k}.0"], p[f"first.{k}.1"]) for k in range(2)]
    canvas = p["first.2"]
    canvases, strokes = [], []
    for t in range(100):
        error = x - sigmoid(canvas)
        if read_size:
            F_y, F_x, gain = bank(linear("read_attention", dec[0]), read_size, rows, columns)
            r = gain * np.concatenate([F_y @ x @ F_x.T, F_y @ error @ F_x.T], axis=1)
        else:
            r = np.concatenate([x, error], axis=1)
        enc = lstm("encoder", np.concatenate([r.ravel(), dec[0]]), enc)
        mean, std = linear("mean", enc[0]), np.exp(linear("log_std", enc[0]))
        z = choose(t, mean, std)
        if z is None:
            return canvases, strokes
        dec = lstm("decoder", z, dec)
        if write_size:
            F_y, F_x, gain = bank(linear("write_attention", dec[0]), write_size, rows, columns)
            canvas = canvas + F_y.T @ linear("patch", dec[0]).reshape(write_size, write_size) @ F_x / gain
        else:
            canvas = canvas + linear("patch", dec[0]).reshape(rows, columns)
        canvases.append(canvas)
        strokes.append((z, mean, std))


def log_normal(x, mean, std):
    return (-0.5 * ((x - mean) / std) ** 2 - np.log(std) - 0.5 * math.log(2 * math.pi)).sum(-1)


def log_bernoulli(x, logits):
    return (x * np.log(sigmoid(logits)) + (1 - x) * np.log(1 - sigmoid(logits))).sum()


def made(sizes, rng, rows=4, columns=5, latent=2, hidden=3):
    model = DRAW(rows, columns, latent, hidden, *sizes, generator=rng).astype("float64")
    with mg.no_grad():
        for p in model.parameters():
            p.copy_(mg.tensor(rng.normal(0, 0.5, p.shape)))
    return model


@pytest.mark.parametrize("sizes", SIZES)
@given(T=st.integers(1, 4), B=st.integers(1, 3), rng=seeds())
def test_it_is_the_equations(sizes, T, B, rng):
    model = made(sizes, rng)
    x, noise = rng.uniform(size=(B, 4, 5)), rng.normal(size=(T, B, 2))
    evidence = model(mg.tensor(x), mg.tensor(noise))
    zs = np.zeros((T, B, 2))
    finals = []
    for b in range(B):
        canvases, strokes = draw(
            model.state_dict(), x[b], lambda t, mean, std: mean + std * noise[t, b] if t < T else None, sizes
        )
        zs[:, b], means, stds = [np.stack(part) for part in zip(*strokes)]
        told = log_bernoulli(x[b], canvases[-1])
        kl = 0.5 * (means**2 + stds**2 - np.log(stds**2) - 1).sum(-1)  # eq. 11, whose constant is 1 a number of z
        ratio = log_normal(zs[:, b], 0, 1) - log_normal(zs[:, b], means, stds)
        np.testing.assert_allclose(evidence.log_likelihood.numpy()[:, b], [told], rtol=1e-9)
        np.testing.assert_allclose(evidence.kl.numpy()[:, b], kl, rtol=1e-9)
        np.testing.assert_allclose(evidence.log_ratio.numpy()[:, b], ratio, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(evidence.bound().numpy()[b], told - kl.sum(), rtol=1e-9)
        np.testing.assert_allclose(evidence.log_weight().numpy()[b], told + ratio.sum(), rtol=1e-9)
        finals.append(canvases)
    drawn = model.sample(mg.tensor(zs)).numpy()  # the same z drawn from the prior make the same picture
    np.testing.assert_allclose(drawn, sigmoid(np.stack(finals, axis=1)), rtol=1e-9)
    again, read, written = model.reconstruct(mg.tensor(x), mg.tensor(noise))
    np.testing.assert_allclose(again.numpy(), drawn, rtol=1e-9)
    state, h_dec = model.state_dict(), model.first[1][0].numpy()  # before the first stroke
    for name, places, N in [("read_attention", read, sizes[0]), ("write_attention", written, sizes[1])]:
        assert (places is None) == (N is None) and (places is None or places.shape == (T, B, 3))
        if name == "read_attention" and N:
            g_x, g_y, _, log_stride, _ = state[name + ".weight"] @ h_dec + state[name + ".bias"]
            first = 2.5 * (g_y + 1), 3 * (g_x + 1), 4 / (N - 1) * np.exp(log_stride)
            np.testing.assert_allclose(places.numpy()[0], [first] * B, rtol=1e-9)


@given(N=st.integers(2, 4), rows=st.integers(1, 6), columns=st.integers(1, 6), rng=seeds())
def test_filterbank_is_that_of_the_equations(N, rows, columns, rng):
    parameters = rng.normal(0, 0.5, (3, 5))
    F_y, F_x, gain = filterbank(mg.tensor(parameters), N, rows, columns)
    assert F_y.shape == (3, N, rows) and F_x.shape == (3, N, columns) and gain.shape == (3, 1, 1)
    for b in range(3):
        for got, wanted in zip((F_y, F_x, gain), bank(parameters[b], N, rows, columns)):
            np.testing.assert_allclose(got.numpy()[b].squeeze(), np.squeeze(wanted), rtol=1e-9, atol=1e-12)


@given(N=st.integers(2, 5), rng=seeds())
def test_the_grid_is_where_the_filters_look(N, rng):
    """Narrow filters with all points inside see the rows and columns of the grid, one by one."""
    rows, columns = 40, 30
    parameters = np.array([[*rng.uniform(-0.3, 0.3, 2), -3, np.log(rng.uniform(0.1, 0.4)), 0]])
    (row,), (column,), (stride,) = (p.numpy()[0] for p in grid(mg.tensor(parameters), N, rows, columns))
    for F, centre, size in zip(filterbank(mg.tensor(parameters), N, rows, columns), (row, column), (rows, columns)):
        seen = F.numpy()[0] @ np.arange(1, size + 1)
        np.testing.assert_allclose(seen, centre + (np.arange(N) - (N - 1) / 2) * stride, atol=0.5)
        assert seen[-1] - seen[0] == pytest.approx((N - 1) * stride, abs=1)
    assert 0.1 * 39 / (N - 1) <= stride <= 0.4 * 39 / (N - 1)


def test_attention_far_outside_of_the_image_is_no_nan():
    F_y, F_x, _ = filterbank(mg.tensor(np.array([[50.0, -50.0, -9.0, 1.0, 0.0]])), 3, 4, 5)
    for F in (F_y, F_x):
        np.testing.assert_allclose(F.sum(axis=-1).numpy(), 1)


def test_a_grid_that_fits_the_image_sees_all_of_it():
    """As many points as pixels, in the middle, narrow, a stride of 1: with attention is without."""
    rng = np.random.default_rng(0)
    without, attending = made((None, None), rng, 4, 4), made((4, 4), rng, 4, 4)
    state = attending.state_dict() | without.state_dict()
    for name in ("read_attention", "write_attention"):
        state[name + ".weight"][:] = 0
        state[name + ".bias"][:] = 0, 0, -6, 0, 0
    attending.load_state_dict(state)
    x, noise = mg.tensor(rng.uniform(size=(2, 4, 4))), mg.tensor(rng.normal(size=(3, 2, 2)))
    for a, b in zip(without(x, noise), attending(x, noise)):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-9)


@pytest.mark.parametrize(
    "sizes, wrap",
    [((None, None), lambda f: f), ((2, 3), lambda f: f), ((None, 2), mg.jit)],
    ids=["plain", "eager", "jit"],
)
def test_gradcheck(sizes, wrap):
    rng = np.random.default_rng(1)
    model = made(sizes, rng, 3, 4, 1, 2)
    assert gradcheck(wrap(model), (rng.uniform(size=(2, 3, 4)), rng.normal(size=(2, 2, 1))), rtol=1e-5)


@pytest.mark.parametrize("sizes", SIZES[:2])
def test_bounds_against_the_exact_likelihood(sizes):
    """Of two strokes with one number z each, log p(x) is an integral over a plane, done by quadrature."""
    rng = np.random.default_rng(2)
    model = made(sizes, rng, 3, 3, 1, 4)
    with mg.no_grad():  # q wide enough for its weights to have a variance
        model.log_std.bias += 0.5
        model.log_std.weight *= 0.2
    x = rng.integers(2, size=(1, 3, 3)).astype(float)
    nodes, weights = hermegauss(60)
    places = np.stack(np.meshgrid(nodes, nodes), axis=-1).reshape(1, -1, 2)
    log_w = np.log(np.outer(weights, weights).ravel() / (2 * math.pi))
    chances = model.sample(mg.tensor(places.transpose(2, 1, 0)))[-1].numpy()
    joint = (x * np.log(chances) + (1 - x) * np.log(1 - chances)).sum((-1, -2)) + log_w
    exact = np.log(np.exp(joint).sum())

    K = 20_000
    evidence = model(mg.tensor(np.repeat(x, K, axis=0)), mg.tensor(rng.normal(size=(2, K, 1))))
    bound, weight = evidence.bound().numpy(), evidence.log_weight().numpy()
    assert abs(bound.mean() - weight.mean()) < 5 * (weight - bound).std() / math.sqrt(K)
    assert bound.mean() < exact - 0.01
    ladder = [importance_bound(mg.tensor(weight.reshape(k, -1))).numpy().mean() for k in (1, 10, 100)]
    assert ladder == sorted(ladder) and ladder[-1] < exact + 0.01
    assert importance_bound(mg.tensor(weight[:, None])).item() == pytest.approx(exact, abs=0.03)


@pytest.mark.parametrize("rows, columns, Z, H, read, write", [(4, 5, 2, 3, None, None), (6, 4, 1, 5, 3, 2)])
def test_parameter_count(rows, columns, Z, H, read, write):
    P = rows * columns
    R, D = 2 * (read**2 if read else P), write**2 if write else P
    cells = 4 * (H * (R + H + H) + 2 * H) + 4 * (H * (Z + H) + 2 * H) + 4 * H
    wanted = cells + 2 * Z * (H + 1) + D * (H + 1) + P + 5 * (H + 1) * (bool(read) + bool(write))
    assert sum(p.size for p in DRAW(rows, columns, Z, H, read, write).parameters()) == wanted


def test_any_cell():
    model = DRAW(4, 4, 2, 5, 2, 2, cell=GRUCell)
    model(mg.tensor(np.ones((3, 4, 4), "float32")), mg.tensor(np.ones((2, 3, 2), "float32"))).bound().sum().backward()
    assert all(np.isfinite(p.grad.numpy()).all() for p in model.parameters())


def test_errors():
    x, noise = mg.tensor(np.zeros((3, 4, 5), "float32")), mg.tensor(np.zeros((2, 3, 2), "float32"))
    with pytest.raises(
        ValueError, match=r"DRAW: got x of shape \(3, 4, 5\), wanted \(B, rows, columns\) = \(B, 4, 4\)"
    ):
        DRAW(4, 4, 2, 5)(x, noise)
    with pytest.raises(ValueError, match=r"got noise of shape \(2, 3, 2\), wanted \(T, B=3, latent_size=6\)"):
        DRAW(4, 5, 6, 5)(x, noise)
    with pytest.raises(ValueError, match="got read_size=1, wanted at least 2"):
        DRAW(4, 5, 6, 5, 1)
