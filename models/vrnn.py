"""The variational recurrent network (Chung et al. 2015, arXiv:1506.02216)."""

import minigrad as mg
from minigrad import nn
from minigrad.arguments import Count, Generator, Size, checked
from minigrad.models.latent import Evidence, GaussianLayer, kl, likelihood_layer, require_sequence
from minigrad.models.lstm import LSTMCell
from minigrad.nn.cell import initial_state, output_of, take_step


class VRNN(nn.Module):
    """A variational autoencoder at every step, each of whose parts sees the state h of a recurrent network:

    prior      z_t ~ N(μ_0, σ_0²),         (μ_0, σ_0) = φ_prior(h_{t-1})                  eq. 5
    decoder    x_t | z_t ~ likelihood of   φ_dec(φ_z(z_t), h_{t-1})                       eq. 6
    posterior  z_t | x_t ~ N(μ_z, σ_z²),   (μ_z, σ_z) = φ_enc(φ_x(x_t), h_{t-1})          eq. 9
    state      h_t = f(φ_x(x_t), φ_z(z_t), h_{t-1})                                       eq. 7

    Each φ is one layer of `hidden_size` relus, with the layer of a Gaussian (σ = softplus) or of the likelihood above
    it where it gives a distribution. likelihood: "gaussian" or "bernoulli". cell: made as cell(input_size,
    hidden_size). With X, Z, H the three sizes and D the numbers that describe x_t (2X or X): those of the cell with
    2H inputs, and H(X + 1) + H(Z + 1) + H(H + 1) + 2 H(2H + 1) + 4 Z(H + 1) + D(H + 1) numbers.

    Examples
    --------
    >>> model = models.VRNN(3, 2, 4)
    >>> model.sample(mg.zeros((5, 2, 2)), mg.zeros((5, 2, 3)))[0].shape
    (5, 2, 3)
    """

    @checked
    def __init__(
        self, input_size: Count, latent_size: Size, hidden_size: Size, likelihood: str = "gaussian", cell=LSTMCell, *,
        generator: Generator = None,
    ):  # fmt: skip
        self.input_size, self.latent_size = input_size, latent_size
        X, Z, H = input_size, latent_size, hidden_size

        def layer(inputs, *above):
            return nn.Sequential(nn.Linear(inputs, H, generator=generator), mg.relu, *above)

        self.phi_x, self.phi_z = layer(X), layer(Z)
        self.prior = layer(H, GaussianLayer(H, Z, generator=generator))
        self.posterior = layer(2 * H, GaussianLayer(H, Z, generator=generator))
        self.decoder = layer(2 * H, likelihood_layer(likelihood, H, X, generator))
        self.cell = cell(2 * H, H, generator=generator)

    @checked
    def forward(self, x, noise) -> Evidence:
        """What `Evidence` says, for x (T, B, X) and noise N(0, 1) of shape (T, B, Z). The model at a step sees nothing
        of the steps after it: what is padding may be left out of the sums.

        Raises ValueError for shapes that do not fit.
        """
        require_sequence("VRNN", x, self.input_size, noise, self.latent_size)

        def step(state, inputs):
            x, noise = inputs
            h, seen = output_of(self.cell, state), self.phi_x(x)
            prior, posterior = self.prior(h), self.posterior(mg.concatenate([seen, h], axis=-1))
            z = posterior.draw(noise)
            drawn = self.phi_z(z)
            told = self.decoder(mg.concatenate([drawn, h], axis=-1)).log_prob(x)
            _, state = take_step(self.cell, mg.concatenate([seen, drawn], axis=-1), state)
            return state, Evidence(told, kl(posterior, prior), prior.log_prob(z) - posterior.log_prob(z))

        _, evidence = mg.scan(step, initial_state(self.cell, noise), (x, noise))
        return evidence

    @checked
    def sample(self, noise, noise_x):
        """(x, its distribution at each step), x (T, B, X), from noise for z, (T, B, Z), and for x, (T, B, X), both
        N(0, 1)."""

        def step(state, inputs):
            noise, noise_x = inputs
            h = output_of(self.cell, state)
            drawn = self.phi_z(self.prior(h).draw(noise))
            likelihood = self.decoder(mg.concatenate([drawn, h], axis=-1))
            x = likelihood.draw(noise_x)
            _, state = take_step(self.cell, mg.concatenate([self.phi_x(x), drawn], axis=-1), state)
            return state, (x, likelihood)

        return mg.scan(step, initial_state(self.cell, noise), (noise, noise_x))[1]
