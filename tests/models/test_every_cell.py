"""What `Recurrent` promises of any cell, for every cell that there is, eager and jitted."""

from functools import cache, partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from steps import leaves, randomize

import minigrad as mg
from minigrad.models import ConvGRUCell, ConvLSTMCell, Recurrent
from minigrad.models.tasks.cells import CELLS
from minigrad.testing import seeds

pytestmark = pytest.mark.eager_only("jitted here")
T, B, I, H = 6, 3, 2, 4
EVERY = CELLS | {
    "convlstm": partial(ConvLSTMCell, kernel_size=3, peepholes=(2, 3)),
    "convgru": partial(ConvGRUCell, kernel_size=3),
}


@cache
def layers(name):
    """Of one cell: a layer, the same compiled, and one that runs it both ways."""
    cell = randomize(EVERY[name](I, H), np.random.default_rng(0))
    layer = Recurrent(cell)
    return layer, mg.jit(layer), Recurrent(lambda: cell, bidirectional=True)


def normal(name, rng, size):
    image = (2, 3) if hasattr(layers(name)[0].cells[0], "feature_ndim") else ()
    return rng.normal(size=(T, B, size, *image))


def pulled(layer, x, lengths, weight):
    """Output, last states, and the gradients of Σ <output, weight> + Σ <last state, cos 0, cos 1, ...>."""
    layer.zero_grad()
    x = mg.tensor(x, requires_grad=True)
    output, final = layer(x, lengths=lengths)
    total = (output * weight).sum()
    for leaf in leaves(final):
        total = total + (leaf * np.cos(np.arange(leaf[0, 0].size)).reshape(leaf.shape[2:])).sum()
    total.backward()
    return [y.detach().numpy() for y in (output, *leaves(final))], x.grad.numpy(), [p.grad for p in layer.parameters()]


def close(got, wanted):
    for a, b in zip(leaves(got), leaves(wanted), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-10)


some_lengths = st.lists(st.integers(0, T), min_size=B, max_size=B).filter(any).map(np.array)
for_every_cell = pytest.mark.parametrize("name", EVERY)


@for_every_cell
@settings(max_examples=3)
@given(lengths=some_lengths, rng=seeds())
def test_a_padded_batch_is_its_rows_alone_eager_and_jitted(name, lengths, rng):
    """Output, last states and gradients, with NaN for padding: so it changes none of them, and no row sees another."""
    layer, jitted, _ = layers(name)
    x, weight = normal(name, rng, I), normal(name, rng, H)
    padding = np.arange(T)[:, None] >= lengths
    x[padding] = np.nan
    results, dx, dp = pulled(layer, x, lengths, weight)
    close(pulled(jitted, x, mg.tensor(lengths), weight), (results, dx, dp))
    assert not results[0][padding].any() and not dx[padding].any()
    total = [np.zeros(g.shape) for g in dp]
    for b, length in enumerate(lengths):
        if length:
            row = slice(b, b + 1)
            alone, dx_alone, dp_alone = pulled(layer, x[:length, row], None, weight[:length, row])
            close([results[0][:length, row], *[r[:, row] for r in results[1:]]], alone)
            close(dx[:length, row], dx_alone)
            total = [g + more.numpy() for g, more in zip(total, dp_alone)]
    close(dp, total)


@for_every_cell
@settings(max_examples=3)
@given(lengths=some_lengths, rng=seeds())
def test_reversed_is_flipped(name, lengths, rng):
    """What it makes backwards is what it makes forwards of the sequences turned round, each within its length."""
    forward, _, both = layers(name)
    x, weight = normal(name, rng, I), normal(name, rng, H)
    t = np.arange(T)[:, None]
    turned = np.where(t < lengths, lengths - 1 - t, t), np.arange(B)
    backward = Recurrent(forward.cells[0], reverse=True)
    (y, *final), dx, dp = pulled(backward, x, lengths, weight)
    (z, *turned_final), dx_turned, dp_turned = pulled(forward, x[turned], lengths, weight[turned])
    close(([y, *final], dx, dp), ([z[turned], *turned_final], dx_turned[turned], dp_turned))
    with mg.no_grad():
        joined = both(mg.tensor(x), lengths=lengths)[0].numpy()
    close(joined, np.concatenate([forward(mg.tensor(x), lengths=lengths)[0].detach().numpy(), y], axis=2))


@for_every_cell
@settings(max_examples=3)
@given(t=st.integers(0, T - 1), b=st.integers(0, B - 1), rng=seeds())
def test_no_output_sees_what_comes_later_nor_another_row(name, t, b, rng):
    """x changed in one place: what comes before it and all other rows stay, bit by bit; its own step does not."""
    _, jitted, _ = layers(name)
    x = normal(name, rng, I)
    changed = x.copy()
    changed[t, b] += 1.0
    every = mg.tensor(np.full(B, T))
    before, after = [jitted(mg.tensor(a, requires_grad=True), lengths=every)[0].detach().numpy() for a in (x, changed)]
    same = before == after
    assert same[:, np.arange(B) != b].all() and same[:t].all()
    assert not same[t, b].all()
