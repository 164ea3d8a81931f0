"""Latent variables: Gaussians that gradients pass through, and what they tell of the likelihood of data.

A model draws z from q(z|x), a Gaussian whose mean and deviation a network gives, as z = μ + σ ε (Kingma & Welling 2013,
arXiv:1312.6114, section 2.4). The noise ε is an argument of every model, so that a model is a function: it can be
jitted, checked and run twice with the same result. `noise` draws it.
"""

import math
from typing import Any, NamedTuple

import minigrad as mg
from minigrad import nn
from minigrad.arguments import Count, Generator, Size, checked


class Gaussian(NamedTuple):
    """Independent N(mean, std²), along the last axis."""

    mean: Any
    std: Any

    def draw(self, noise):
        """A sample that is differentiable in mean and std; noise: N(0, 1)."""
        return self.mean + self.std * noise

    def log_prob(self, x):
        """Log density of x (..., n), summed over the last axis."""
        u = (x - self.mean) / self.std
        return -(0.5 * u * u + mg.log(self.std) + 0.5 * math.log(2 * math.pi)).sum(axis=-1)


class Bernoulli(NamedTuple):
    """Independent, 1 with probability σ(logits), along the last axis; for x between 0 and 1, the cross-entropy."""

    logits: Any

    @property
    def mean(self):
        return mg.sigmoid(self.logits)

    def draw(self, noise):
        """Zeros and ones, through which no gradient passes; noise: N(0, 1)."""
        return (0.5 + 0.5 * mg.erf(noise * 0.5**0.5) < self.mean).astype(self.logits.dtype)

    def log_prob(self, x):
        """Log probability of x (..., n), summed over the last axis."""
        return (x * self.logits - mg.softplus(self.logits)).sum(axis=-1)


def kl(q: Gaussian, p: Gaussian):
    """KL(q ‖ p) in closed form, summed over the last axis (Kingma & Welling 2013, appendix B)."""
    ratio, u = q.std / p.std, (q.mean - p.mean) / p.std
    return (0.5 * (ratio * ratio + u * u - 1) - mg.log(ratio)).sum(axis=-1)


class GaussianLayer(nn.Module):
    """(..., n) to a Gaussian over (..., size): mean linear, deviation softplus of linear. 2 size (n + 1) numbers."""

    @checked
    def __init__(self, in_features: Count, size: Size, *, generator: Generator = None):
        self.mean, self.std = [nn.Linear(in_features, size, generator=generator) for _ in range(2)]

    def forward(self, x):
        return Gaussian(self.mean(x), mg.softplus(self.std(x)))


class BernoulliLayer(nn.Module):
    """(..., n) to Bernoullis over (..., size). size (n + 1) numbers."""

    @checked
    def __init__(self, in_features: Count, size: Size, *, generator: Generator = None):
        self.logits = nn.Linear(in_features, size, generator=generator)

    def forward(self, x):
        return Bernoulli(self.logits(x))


LAYERS = {"gaussian": GaussianLayer, "bernoulli": BernoulliLayer}


def likelihood_layer(kind: str, in_features: int, size: int, generator):
    if kind not in LAYERS:
        raise ValueError(f"got likelihood={kind!r}, wanted {' or '.join(map(repr, LAYERS))}")
    return LAYERS[kind](in_features, size, generator=generator)


class Evidence(NamedTuple):
    """What one sample of z tells of log p(x), in nats, a term for each step and sequence: (T, B).

    log_likelihood: log p(x_t | z). kl: KL(q(z_t) ‖ p(z_t)). log_ratio: log p(z_t) - log q(z_t), at the sample; its mean
    is -kl. Sum them over the steps that count (zeros and ones for a mask) before they are put together.
    """

    log_likelihood: Any
    kl: Any
    log_ratio: Any

    def bound(self):
        """The lower bound of log p(x) of each sequence, (B,): it is to be maximised."""
        return self.log_likelihood.sum(axis=0) - self.kl.sum(axis=0)

    def log_weight(self):
        """log p(x, z) - log q(z|x) of each sequence, (B,), for `importance_bound`."""
        return self.log_likelihood.sum(axis=0) + self.log_ratio.sum(axis=0)


def importance_bound(log_weights):
    """(K, B) log weights, of K samples of z each, to a bound of log p(x), (B,): log of their mean (Burda, Grosse &
    Salakhutdinov 2015, arXiv:1509.00519, eq. 8). It is no lower than `Evidence.bound` and exact for K without end."""
    return mg.logsumexp(log_weights, axis=0) - math.log(len(log_weights))


def noise(*shape: int, generator=None):
    """N(0, 1), float32; generator: a numpy.random.Generator, default that of nn.init. Draw it outside of jitted code,
    which would keep the numbers of its first call."""
    return mg.tensor(nn.init.normal(shape, generator=generator))


def require_sequence(name: str, x, input_size: int, noise, latent_size: int) -> None:
    """Raise ValueError if x is not (T, B, input_size), or the noise not (T, B, latent_size)."""
    if x.ndim != 3 or x.shape[-1] != input_size:
        raise ValueError(f"{name}: got x of shape {x.shape}, wanted (T, B, input_size={input_size})")
    if noise.shape != (*x.shape[:2], latent_size):
        raise ValueError(
            f"{name}: got noise of shape {noise.shape}, wanted (T, B, latent_size) = {(*x.shape[:2], latent_size)}; "
            "latent.noise draws it"
        )
