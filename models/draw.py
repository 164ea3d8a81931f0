"""DRAW, the deep recurrent attentive writer (Gregor et al. 2015, arXiv:1502.04623)."""

import numpy as np

import minigrad as mg
from minigrad import nn
from minigrad.arguments import Generator, Size, checked
from minigrad.models.latent import Bernoulli, Evidence, Gaussian, kl
from minigrad.models.lstm import LSTMCell
from minigrad.nn.cell import initial_state, output_of, take_step

PRIOR = Gaussian(0.0, 1.0)


class DRAW(nn.Module):
    """An autoencoder that draws an image in T strokes, and looks at what is missing before each (eqs. 3 to 8):

        x^ = x - σ(c_{t-1});  r_t = read(x, x^, h_dec_{t-1});  h_enc_t = RNN([r_t; h_dec_{t-1}], h_enc_{t-1})
        z_t ~ q = N(μ, σ²), μ = W h_enc_t, σ = exp(W h_enc_t);  h_dec_t = RNN(z_t, h_dec_{t-1})
        c_t = c_{t-1} + write(h_dec_t);  x ~ Bernoulli(σ(c_T)), all z_t ~ N(0, 1)

    read_size, write_size: with a number N, an attention to N x N points of the image (eqs. 21 to 29, see `filterbank`);
    with None, read is [x; x^] and write linear (eqs. 17, 18). cell: of both networks, made as cell(input_size,
    hidden_size). What states and canvas begin with is learnt.

    With P pixels, H, Z, R numbers read (2P or 2N²) and D written (P or N²): those of two cells with R + H and Z inputs
    and of their initial states, and 2 Z(H + 1) + D(H + 1) + P, and 5(H + 1) for each attention.

    Examples
    --------
    >>> model = models.DRAW(8, 8, latent_size=2, hidden_size=4, read_size=3, write_size=3)
    >>> images, noise = mg.zeros((2, 64)), mg.zeros((3, 2, 2))
    >>> model.sample(noise)[-1].shape
    (2, 8, 8)
    """

    @checked
    def __init__(
        self, rows: Size, columns: Size, latent_size: Size, hidden_size: Size, read_size: Size | None = None,
        write_size: Size | None = None, cell=LSTMCell, *, generator: Generator = None,
    ):  # fmt: skip
        for name, size in [("read_size", read_size), ("write_size", write_size)]:
            if size is not None and size < 2:
                raise ValueError(f"DRAW: got {name}={size}, wanted at least 2 points a side, or None for no attention")
        self.shape, self.latent_size = (rows, columns), latent_size
        self.read_size, self.write_size = read_size, write_size
        Z, H = latent_size, hidden_size
        reads, writes = 2 * (read_size**2 if read_size else rows * columns), (write_size or rows, write_size or columns)
        self.encoder, self.decoder = cell(reads + H, H, generator=generator), cell(Z, H, generator=generator)
        self.mean, self.log_std = [nn.Linear(H, Z, generator=generator) for _ in range(2)]
        self.patch = nn.Linear(H, writes[0] * writes[1], generator=generator)
        self.patch_shape = writes
        self.read_attention, self.write_attention = [
            nn.Linear(H, 5, generator=generator) if size else None for size in (read_size, write_size)
        ]
        like = mg.zeros((1, 1, 1), np.float32)
        states = [initial_state(cell, like) for cell in (self.encoder, self.decoder)]
        self.first = mg.tree.map(lambda s: nn.Parameter(s[0]), (*states, np.zeros((1, rows, columns), np.float32)))

    def begin(self, batch: int):
        """(state of the encoder, state of the decoder, canvas) before the first stroke."""
        return mg.tree.map(lambda p: mg.broadcast_to(p, (batch, *p.shape)), self.first)

    def read(self, x, error, h):
        if not self.read_size:
            return mg.concatenate([x, error], axis=-1).reshape(x.shape[0], -1)
        F_y, F_x, gain = filterbank(self.read_attention(h), self.read_size, *self.shape)
        seen = [gain * (F_y @ image @ F_x.mT) for image in (x, error)]
        return mg.concatenate(seen, axis=-1).reshape(x.shape[0], -1)

    def write(self, h):
        patch = self.patch(h).reshape(-1, *self.patch_shape)
        if not self.write_size:
            return patch
        F_y, F_x, gain = filterbank(self.write_attention(h), self.write_size, *self.shape)
        return F_y.mT @ patch @ F_x / gain

    def stroke(self, x, state, noise):
        """One of the T: the next state, q(z_t) and z_t."""
        encoder, decoder, canvas = state
        h_dec = output_of(self.decoder, decoder)
        seen = self.read(x, x - mg.sigmoid(canvas), h_dec)
        h_enc, encoder = take_step(self.encoder, mg.concatenate([seen, h_dec], axis=-1), encoder)
        q = Gaussian(self.mean(h_enc), mg.exp(self.log_std(h_enc)))
        z = q.draw(noise)
        h_dec, decoder = take_step(self.decoder, z, decoder)
        return (encoder, decoder, canvas + self.write(h_dec)), q, z

    @checked
    def forward(self, x, noise) -> Evidence:
        """What `Evidence` says, with one term for the likelihood of the image and T for the strokes: x (B, rows,
        columns) from 0 to 1, noise N(0, 1) of shape (T, B, Z).

        Raises ValueError for shapes that do not fit.
        """
        if x.ndim != 3 or x.shape[1:] != self.shape:
            raise ValueError(
                f"DRAW: got x of shape {x.shape}, wanted (B, rows, columns) = (B, {self.shape[0]}, {self.shape[1]})"
            )
        if noise.ndim != 3 or noise.shape[1:] != (x.shape[0], self.latent_size):
            raise ValueError(
                f"DRAW: got noise of shape {noise.shape}, wanted (T, B={x.shape[0]}, latent_size={self.latent_size})"
            )

        def stroke(state, noise):
            state, q, z = self.stroke(x, state, noise)
            return state, (kl(q, PRIOR), PRIOR.log_prob(z) - q.log_prob(z))

        (_, _, canvas), (divergence, log_ratio) = mg.scan(stroke, self.begin(x.shape[0]), noise)
        pixels = [image.reshape(1, x.shape[0], -1) for image in (canvas, x)]
        return Evidence(Bernoulli(pixels[0]).log_prob(pixels[1]), divergence, log_ratio)

    @checked
    def reconstruct(self, x, noise):
        """The canvas after every stroke as x is drawn, as chances of ink, (T, B, rows, columns); and where each stroke
        read and wrote, two arrays (T, B, 3) of `grid`'s (centre's row and column, stride), None without attention. x
        and noise as for the evidence."""

        def place(attention, decoder, N):
            return attention and mg.concatenate(grid(attention(output_of(self.decoder, decoder)), N, *self.shape), -1)

        def stroke(state, noise):
            after, _, _ = self.stroke(x, state, noise)
            read = place(self.read_attention, state[1], self.read_size)
            written = place(self.write_attention, after[1], self.write_size)
            return after, (mg.sigmoid(after[2]), read, written)

        return mg.scan(stroke, self.begin(x.shape[0]), noise)[1]

    @checked
    def sample(self, noise):
        """The canvas after every stroke, as chances of ink, (T, B, rows, columns), from z = noise (T, B, Z)."""

        def stroke(carry, z):
            decoder, canvas = carry
            h_dec, decoder = take_step(self.decoder, z, decoder)
            canvas = canvas + self.write(h_dec)
            return (decoder, canvas), mg.sigmoid(canvas)

        return mg.scan(stroke, self.begin(noise.shape[1])[1:], noise)[1]


def grid(parameters, N: int, rows: int, columns: int):
    """Where N x N points of attention lie (eqs. 19, 20, 22 to 24), from (g_x, g_y, log σ², log δ, log γ), (B, 5): row
    and column of their centre, of pixels numbered from 1, and the stride from one to the next, (B, 1) each. ±1 are the
    edges for g, and δ = 1 spans the image."""
    g_x, g_y, _, log_stride, _ = mg.split(parameters, 5, axis=-1)
    return (
        (rows + 1) / 2 * (g_y + 1),
        (columns + 1) / 2 * (g_x + 1),
        (max(rows, columns) - 1) / (N - 1) * mg.exp(log_stride),
    )


def filterbank(parameters, N: int, rows: int, columns: int):
    """What attention sees (eqs. 19 to 26): (F_y (B, N, rows), F_x (B, N, columns), intensity (B, 1, 1)), of the
    parameters of `grid`. Each row of F is a Gaussian of variance σ² over the pixels, of sum 1, around a row or a column
    of the grid."""
    row, column, stride = grid(parameters, N, rows, columns)
    log_variance, log_gain = parameters[:, 2, None, None], parameters[:, 4, None, None]
    steps = (np.arange(1, N + 1) - N / 2 - 0.5).astype(parameters.dtype)

    def filters(centre, size):
        centres = (centre + stride * steps)[..., None]
        pixels = np.arange(1, size + 1, dtype=parameters.dtype)
        return mg.softmax(-((pixels - centres) ** 2) / (2 * mg.exp(log_variance)), axis=-1)

    return filters(row, rows), filters(column, columns), mg.exp(log_gain)
