"""The stochastic recurrent network (Bayer & Osendorfer 2014, arXiv:1411.7610)."""

import minigrad as mg
from minigrad import nn
from minigrad.arguments import Count, Generator, Size, checked
from minigrad.models.latent import Evidence, Gaussian, GaussianLayer, kl, likelihood_layer, require_sequence
from minigrad.models.rnn import RNNCell
from minigrad.nn.cell import initial_state, take_step
from minigrad.nn.recurrent import Recurrent

PRIOR = Gaussian(0.0, 1.0)


class STORN(nn.Module):
    """Two recurrent networks, one that recognises and one that generates; the z_t are N(0, 1), whatever came before:

    posterior  z_t | x_1..t ~ N(μ, σ²) of the state of a network that reads x
    state      h_t = f(x_{t-1}, z_t, h_{t-1}), with x_0 = 0
    decoder    x_t | h_t ~ likelihood of the state h_t

    likelihood: "gaussian" or "bernoulli". cell: of both, made as cell(input_size, hidden_size). With X, Z, H the three
    sizes and D the numbers that describe x_t (2X or X): those of two cells, with X and with X + Z inputs, and
    2 Z(H + 1) + D(H + 1) numbers.

    Examples
    --------
    >>> model = models.STORN(3, 2, 4)
    >>> model.sample(mg.zeros((5, 2, 2)), mg.zeros((5, 2, 3)))[0].shape
    (5, 2, 3)
    """

    @checked
    def __init__(
        self, input_size: Count, latent_size: Size, hidden_size: Size, likelihood: str = "gaussian", cell=RNNCell, *,
        generator: Generator = None,
    ):  # fmt: skip
        self.input_size, self.latent_size = input_size, latent_size
        self.recognition = Recurrent(cell, input_size, hidden_size, generator=generator)
        self.posterior = GaussianLayer(hidden_size, latent_size, generator=generator)
        self.generating = Recurrent(cell, input_size + latent_size, hidden_size, generator=generator)
        self.decoder = likelihood_layer(likelihood, hidden_size, input_size, generator)

    @checked
    def forward(self, x, noise) -> Evidence:
        """What `Evidence` says, for x (T, B, X) and noise N(0, 1) of shape (T, B, Z). The model at a step sees nothing
        of the steps after it: what is padding may be left out of the sums.

        Raises ValueError for shapes that do not fit.
        """
        require_sequence("STORN", x, self.input_size, noise, self.latent_size)
        posterior = self.posterior(self.recognition(x)[0])
        z = posterior.draw(noise)
        before = mg.concatenate([mg.zeros((1, *x.shape[1:]), x.dtype), x[:-1]])
        h, _ = self.generating(mg.concatenate([before, z], axis=-1))
        return Evidence(self.decoder(h).log_prob(x), kl(posterior, PRIOR), PRIOR.log_prob(z) - posterior.log_prob(z))

    @checked
    def sample(self, noise, noise_x):
        """(x, its distribution at each step), x (T, B, X), from z = noise, (T, B, Z), and noise for x, (T, B, X), both
        N(0, 1)."""
        (cell,) = self.generating.cells

        def step(carry, inputs):
            state, x = carry
            z, noise_x = inputs
            h, state = take_step(cell, mg.concatenate([x, z], axis=-1), state)
            likelihood = self.decoder(h)
            x = likelihood.draw(noise_x)
            return (state, x), (x, likelihood)

        begin = initial_state(cell, noise), mg.zeros(noise_x.shape[1:], noise_x.dtype)
        return mg.scan(step, begin, (noise, noise_x))[1]
