import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.models import latent
from minigrad.models.latent import Bernoulli, Gaussian
from minigrad.testing import gradcheck, seeds

pytestmark = pytest.mark.eager_only("no Recurrent is called here")


def random_gaussian(rng, *shape):
    return Gaussian(mg.tensor(rng.normal(size=shape)), mg.tensor(np.exp(rng.normal(0, 0.5, shape))))


@given(n=st.integers(1, 4), rng=seeds())
def test_kl_is_what_monte_carlo_finds(n, rng):
    """KL(q ‖ p) = E_q[log q - log p], within five standard errors of the mean of 200,000 draws."""
    q, p = random_gaussian(rng, n), random_gaussian(rng, n)
    z = q.draw(mg.tensor(rng.normal(size=(200_000, n))))
    ratio = (q.log_prob(z) - p.log_prob(z)).numpy()
    assert abs(ratio.mean() - latent.kl(q, p).item()) < 5 * ratio.std() / math.sqrt(len(ratio)) + 1e-12


@given(n=st.integers(1, 4), rng=seeds())
def test_kl_is_zero_at_itself_alone(n, rng):
    q, p = random_gaussian(rng, 3, n), random_gaussian(rng, 3, n)
    np.testing.assert_allclose(latent.kl(q, q).numpy(), 0, atol=1e-14)
    assert (latent.kl(q, p).numpy() > 0).all()


@given(n=st.integers(1, 3), rng=seeds())
def test_gaussian_is_torchs(torch, n, rng):
    distributions, from_numpy = torch.distributions, torch.from_numpy
    q, p, x = random_gaussian(rng, 2, n), random_gaussian(rng, 2, n), rng.normal(size=(2, n))
    theirs = [distributions.Normal(*map(from_numpy, (g.mean.numpy().copy(), g.std.numpy().copy()))) for g in (q, p)]
    np.testing.assert_allclose(q.log_prob(mg.tensor(x)), theirs[0].log_prob(from_numpy(x)).sum(-1), rtol=1e-12)
    np.testing.assert_allclose(latent.kl(q, p), distributions.kl_divergence(*theirs).sum(-1), rtol=1e-10)


def test_draws():
    rng = np.random.default_rng(0)
    noise = mg.tensor(rng.normal(size=(100_000, 2)))
    z = Gaussian(mg.tensor(np.array([1.0, -2.0])), mg.tensor(np.array([0.5, 3.0]))).draw(noise).numpy()
    np.testing.assert_allclose(z.mean(0), [1, -2], atol=0.03)
    np.testing.assert_allclose(z.std(0), [0.5, 3], rtol=0.02)
    chances = np.array([0.1, 0.8])
    coin = Bernoulli(mg.tensor(np.log(chances / (1 - chances))))
    x = coin.draw(noise).numpy()
    assert set(np.unique(x)) == {0.0, 1.0} and x.dtype == np.float64
    np.testing.assert_allclose(x.mean(0), chances, atol=0.01)
    np.testing.assert_allclose(coin.mean.numpy(), chances)
    wanted = np.where(x[:5] == 1, np.log(chances), np.log(1 - chances)).sum(-1)
    np.testing.assert_allclose(coin.log_prob(mg.tensor(x[:5])).numpy(), wanted, rtol=1e-12)


def test_gradients_pass_through_draws_and_divergences():
    rng = np.random.default_rng(1)
    noise = mg.tensor(rng.normal(size=3))

    def f(mean, std, other):
        q = Gaussian(mean, std)
        return q.draw(noise), q.log_prob(other), latent.kl(q, Gaussian(other, std * std))

    inputs = (rng.normal(size=3), np.exp(rng.normal(size=3)), rng.normal(size=3))
    assert gradcheck(f, inputs, second_order=True)
    assert gradcheck(mg.jit(f), inputs)


def test_importance_bound_of_a_gaussian():
    """x = z + ε, both N(0, 1): p(x) = N(0, 2). With q the posterior N(x/2, 1/2) every weight is p(x); with another, the
    bound rises from the evidence bound to log p(x) as samples grow."""
    rng = np.random.default_rng(2)
    x, prior = mg.tensor(np.array([[0.7]])), Gaussian(0.0, 1.0)
    exact = float(-0.25 * 0.7**2 - 0.5 * math.log(4 * math.pi))

    def log_weights(q, samples):
        z = q.draw(mg.tensor(rng.normal(size=(samples, 1, 1))))
        return Gaussian(z, 1.0).log_prob(x) + prior.log_prob(z) - q.log_prob(z)

    posterior = Gaussian(x / 2, mg.tensor(np.sqrt([[0.5]])))
    np.testing.assert_allclose(log_weights(posterior, 10).numpy(), exact, rtol=1e-12)
    w = log_weights(Gaussian(x * 0, mg.tensor(np.array([[1.0]]))), 200_000)
    ladder = [latent.importance_bound(w.reshape(k, -1)).numpy().mean() for k in (1, 5, 50, 200_000)]
    assert ladder == sorted(ladder) and ladder[0] < exact - 0.1 and abs(ladder[-1] - exact) < 0.005


def test_noise_is_of_the_generator():
    a, b = [latent.noise(4, 2, 3, generator=np.random.default_rng(7)).numpy() for _ in range(2)]
    assert a.shape == (4, 2, 3) and a.dtype == np.float32 and (a == b).all()
