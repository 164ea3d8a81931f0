"""VRNN and STORN, against their equations in NumPy and, where z has one number, against exact integrals."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.polynomial.hermite_e import hermegauss

import minigrad as mg
from minigrad.models import STORN, VRNN, GRUCell, LSTMCell, RNNCell
from minigrad.models.latent import importance_bound
from minigrad.testing import gradcheck, seeds

pytestmark = pytest.mark.eager_only("whole models are jitted here, beside eager ones")
sizes = st.integers(1, 3)
likelihoods = st.sampled_from(["gaussian", "bernoulli"])


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def linear(p, at, x):
    return x @ p[at + ".weight"].T + p[at + ".bias"]


def gaussian(p, at, x):
    return linear(p, at + ".mean", x), np.log1p(np.exp(linear(p, at + ".std", x)))


def likelihood(p, at, x):
    return gaussian(p, at, x) if at + ".std.weight" in p else (sigmoid(linear(p, at + ".logits", x)),)


def log_p(distribution, x):
    if len(distribution) == 2:
        mean, std = distribution
        return (-0.5 * ((x - mean) / std) ** 2 - np.log(std) - 0.5 * math.log(2 * math.pi)).sum(-1)
    (chance,) = distribution
    return (x * np.log(chance) + (1 - x) * np.log(1 - chance)).sum(-1)


def join(*parts):
    shape = np.broadcast_shapes(*[part.shape[:-1] for part in parts])
    return np.concatenate([np.broadcast_to(part, (*shape, part.shape[-1])) for part in parts], axis=-1)


def vrnn(p, x, draw):
    """The equations step by step; draw(t, posterior, prior) chooses z. Each step's p(x|z), prior, posterior and z."""
    p = {name.replace(".0.", "."): value for name, value in p.items()}
    H = len(p["phi_x.bias"])
    h = c = np.zeros((1, H))
    steps = []
    for t in range(len(x)):
        seen = np.maximum(linear(p, "phi_x", x[t]), 0)
        prior = gaussian(p, "prior.2", np.maximum(linear(p, "prior", h), 0))
        posterior = gaussian(p, "posterior.2", np.maximum(linear(p, "posterior", join(seen, h)), 0))
        z = draw(t, posterior, prior)
        drawn = np.maximum(linear(p, "phi_z", z), 0)
        told = likelihood(p, "decoder.2", np.maximum(linear(p, "decoder", join(drawn, h)), 0))
        a = (
            join(seen, drawn) @ p["cell.weight_ih"].T
            + p["cell.bias_ih"]
            + h @ p["cell.weight_hh"].T
            + p["cell.bias_hh"]
        )
        i, f, g, o = np.split(a, 4, axis=-1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        steps.append((told, prior, posterior, z))
    return steps


def storn(p, x, draw):
    def step(at, x, h):
        a = x @ p[at + "weight_ih_l0"].T + p[at + "bias_ih_l0"] + h @ p[at + "weight_hh_l0"].T + p[at + "bias_hh_l0"]
        return np.tanh(a)

    r = h = np.zeros((1, len(p["recognition.bias_ih_l0"])))
    before = np.zeros_like(x[0])
    prior = np.zeros(len(p["posterior.mean.bias"])), np.ones(len(p["posterior.mean.bias"]))
    steps = []
    for t in range(len(x)):
        r = step("recognition.", x[t], r)
        posterior = gaussian(p, "posterior", r)
        z = draw(t, posterior, prior)
        h = step("generating.", join(before, z), h)
        before = x[t]
        steps.append((likelihood(p, "decoder", h), prior, posterior, z))
    return steps


MODELS = {"VRNN": (VRNN, LSTMCell, vrnn), "STORN": (STORN, RNNCell, storn)}
both = pytest.mark.parametrize("name", MODELS)


def made(name, X, Z, H, likelihood, rng):
    return MODELS[name][0](X, Z, H, likelihood, generator=rng).astype("float64")


def data(rng, likelihood, *shape):
    return rng.normal(size=shape) if likelihood == "gaussian" else rng.integers(2, size=shape).astype(float)


@both
@given(T=st.integers(1, 4), B=sizes, X=sizes, Z=sizes, H=st.integers(1, 5), likelihood=likelihoods, rng=seeds())
def test_evidence_is_that_of_the_equations(name, T, B, X, Z, H, likelihood, rng):
    model = made(name, X, Z, H, likelihood, rng)
    x, noise = data(rng, likelihood, T, B, X), rng.normal(size=(T, B, Z))
    steps = MODELS[name][2](model.state_dict(), x, lambda t, posterior, prior: posterior[0] + posterior[1] * noise[t])
    evidence = model(mg.tensor(x), mg.tensor(noise))
    bound, weight = np.zeros(B), np.zeros(B)
    for t, (told, prior, posterior, z) in enumerate(steps):
        kl = 0.5 * ((posterior[1] / prior[1]) ** 2 + ((posterior[0] - prior[0]) / prior[1]) ** 2 - 1)
        kl = (kl - np.log(posterior[1] / prior[1])).sum(-1)
        wanted = (log_p(told, x[t]), kl, log_p(prior, z) - log_p(posterior, z))
        for got, value in zip(evidence, wanted, strict=True):
            np.testing.assert_allclose(got.numpy()[t], value, rtol=1e-9, atol=1e-11)
        bound, weight = bound + wanted[0] - wanted[1], weight + wanted[0] + wanted[2]
    np.testing.assert_allclose(evidence.bound().numpy(), bound, rtol=1e-9)
    np.testing.assert_allclose(evidence.log_weight().numpy(), weight, rtol=1e-9)


@both
def test_jitted_it_is_the_same(name):
    rng = np.random.default_rng(0)
    model = made(name, 2, 1, 3, "gaussian", rng)
    x, noise = mg.tensor(rng.normal(size=(5, 2, 2))), mg.tensor(rng.normal(size=(5, 2, 1)))
    for plain, compiled in [(model, mg.jit(model)), (model.sample, mg.jit(model.sample))]:
        arguments = (x, noise) if plain is model else (noise, x)
        for a, b in zip(mg.tree.flatten(plain(*arguments))[0], mg.tree.flatten(compiled(*arguments))[0], strict=True):
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-12, atol=1e-12)


@both
@given(T=st.integers(1, 4), B=sizes, likelihood=likelihoods, rng=seeds())
def test_samples_are_those_of_the_equations(name, T, B, likelihood, rng):
    """Each x_t is drawn from the distribution that the model tells, which comes of the samples before it."""
    X, Z = 2, 3
    model = made(name, X, Z, 4, likelihood, rng)
    noise, noise_x = rng.normal(size=(T, B, Z)), rng.normal(size=(T, B, X))
    x, distribution = model.sample(mg.tensor(noise), mg.tensor(noise_x))
    steps = MODELS[name][2](model.state_dict(), x.numpy(), lambda t, posterior, prior: prior[0] + prior[1] * noise[t])
    for t, (told, *_) in enumerate(steps):
        np.testing.assert_allclose(distribution.mean.numpy()[t], told[0], rtol=1e-10)
        if likelihood == "gaussian":
            np.testing.assert_allclose(x.numpy()[t], told[0] + told[1] * noise_x[t], rtol=1e-10)
        else:
            assert set(np.unique(x.numpy())) <= {0.0, 1.0}


@both
@pytest.mark.parametrize(
    "likelihood, wrap",
    [("gaussian", lambda f: f), ("bernoulli", lambda f: f), ("gaussian", mg.jit)],
    ids=["gaussian", "bernoulli", "jit"],
)
def test_gradcheck(name, likelihood, wrap):
    rng = np.random.default_rng(1)
    model = made(name, 2, 1, 3, likelihood, rng)
    x = rng.uniform(0.1, 0.9, size=(2, 2, 2))
    assert gradcheck(wrap(model), (x, rng.normal(size=(2, 2, 1))))


@both
@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli"])
def test_bounds_against_the_exact_likelihood(name, likelihood):
    """With one number z a step and two steps, log p(x) is an integral over a plane, done by quadrature. The evidence
    bound lies below it by KL(q ‖ true posterior); importance sampling closes the gap."""
    rng = np.random.default_rng(2)
    model = made(name, 2, 1, 6, likelihood, rng)
    with mg.no_grad():  # so that x depends on z, and q is wrong but wider than the prior: its weights have a variance
        for parameter_name, parameter in model.named_parameters():
            parameter *= 1.5 if name == "VRNN" or "std" in parameter_name else 3.0
            if parameter_name.startswith("posterior") and parameter_name.endswith("std.bias"):
                parameter += 1.0
    x = data(rng, likelihood, 2, 1, 2)
    nodes, weights = hermegauss(80)
    places = np.stack(np.meshgrid(nodes, nodes), axis=-1).reshape(-1, 2)
    log_w = np.log(np.outer(weights, weights).ravel() / (2 * math.pi))  # of an average over N(0, 1) for each z

    def at_prior(t, posterior, prior):
        return prior[0] + prior[1] * places[:, t, None]

    steps = MODELS[name][2](model.state_dict(), x, at_prior)
    joint = sum(log_p(told, x[t]) for t, (told, *_) in enumerate(steps)) + log_w
    exact = np.log(np.exp(joint - joint.max()).sum()) + joint.max()

    K = 20_000
    copies = mg.tensor(np.repeat(x, K, axis=1))
    evidence = model(copies, mg.tensor(rng.normal(size=(2, K, 1))))
    bound, weights = evidence.bound().numpy(), evidence.log_weight().numpy()
    assert abs(bound.mean() - weights.mean()) < 5 * (weights - bound).std() / math.sqrt(K)
    assert bound.mean() < exact - 0.01  # the gap is there to be closed
    ladder = [importance_bound(mg.tensor(weights.reshape(k, -1))).numpy().mean() for k in (1, 10, 100)]
    assert ladder == sorted(ladder) and ladder[-1] < exact + 0.01
    assert importance_bound(mg.tensor(weights[:, None])).item() == pytest.approx(exact, abs=0.03)


@both
def test_a_step_sees_nothing_of_what_comes_later(name):
    rng = np.random.default_rng(3)
    model = made(name, 2, 2, 3, "gaussian", rng)
    x, noise = rng.normal(size=(5, 2, 2)), mg.tensor(rng.normal(size=(5, 2, 2)))
    before = model(mg.tensor(x), noise)
    x[3:] = 9.0
    after = model(mg.tensor(x), noise)
    for a, b in zip(before, after):
        np.testing.assert_array_equal(a.numpy()[:3], b.numpy()[:3])
        assert (a.numpy()[3] != b.numpy()[3]).any()


@both
def test_any_cell(name):
    model = MODELS[name][0](3, 2, 4, cell=GRUCell)
    x, noise = [mg.tensor(np.ones((4, 2, n), "float32")) for n in (3, 2)]
    model(x, noise).bound().sum().backward()
    assert all(np.isfinite(p.grad.numpy()).all() for p in model.parameters())
    assert model.sample(noise, x)[0].shape == (4, 2, 3)


@pytest.mark.parametrize("X, Z, H, likelihood, D", [(3, 2, 4, "gaussian", 6), (5, 1, 3, "bernoulli", 5)])
def test_parameter_count(X, Z, H, likelihood, D):
    cell = 4 * (H * (2 * H + H) + 2 * H)
    wanted = H * (X + 1) + H * (Z + 1) + H * (H + 1) + 2 * H * (2 * H + 1) + 4 * Z * (H + 1) + D * (H + 1)
    assert sum(p.size for p in VRNN(X, Z, H, likelihood).parameters()) == cell + wanted
    cells = (H * (X + H) + 2 * H) + (H * (X + Z + H) + 2 * H)
    assert sum(p.size for p in STORN(X, Z, H, likelihood).parameters()) == cells + 2 * Z * (H + 1) + D * (H + 1)


@both
def test_errors(name):
    model = MODELS[name][0]
    with pytest.raises(ValueError, match="got likelihood='poisson', wanted 'gaussian' or 'bernoulli'"):
        model(3, 2, 4, "poisson")
    x, noise = [mg.tensor(np.zeros((4, 2, n), "float32")) for n in (3, 2)]
    with pytest.raises(ValueError, match=rf"{name}: got x of shape \(4, 2, 3\), wanted \(T, B, input_size=5\)"):
        model(5, 2, 4)(x, noise)
    with pytest.raises(ValueError, match=rf"{name}: got noise of shape \(4, 2, 2\), wanted .*\(4, 2, 6\)"):
        model(3, 6, 4)(x, noise)
