"""What a step may return and read: an output that is no part of the state, a state declared, a context."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad import nn
from minigrad.models import GRUCell, LSTMCell, Recurrent, VariationalDropout, Zoneout, gradient_flow
from minigrad.nn.cell import initial_state, take_step
from minigrad.testing import cells, check_cell, gradcheck, seeds

pytestmark = pytest.mark.eager_only("jitted here")
T, B, I, H = 4, 3, 2, 5


@pytest.fixture
def few_cases(monkeypatch):
    monkeypatch.setattr(cells, "PROPERTIES", [replace(p, cases=2) for p in cells.PROPERTIES])


class Shown(nn.Module):
    """An output that is neither in the state nor of its width: what the step computed and x."""

    def __init__(self, input_size, hidden_size, generator=None):
        self.input_size, self.hidden_size, self.output_size = input_size, hidden_size, hidden_size + input_size
        self.new = nn.Linear(input_size + hidden_size, hidden_size, generator=generator)

    def forward(self, x, h):
        n = mg.tanh(self.new(mg.concatenate([x, h], axis=-1)))
        return mg.concatenate([n, x], axis=-1), 0.5 * h + 0.5 * n


class Carried(Shown):
    """The same, as it had to be written without: the output goes through the state."""

    state_shape = "output_size", "hidden_size"

    def forward(self, x, state):
        return super().forward(x, state[1])


class Reader(nn.Module):
    """Attention to a memory (places, B, M), by a mask, and then a GRU: (output and weights), state."""

    state_shape = "hidden_size"
    context_shape = "places batch memory_size", "bool places batch"

    def __init__(self, input_size, hidden_size, generator=None):
        self.input_size, self.hidden_size, self.memory_size = input_size, hidden_size, 3
        self.query = nn.Linear(hidden_size, 3, generator=generator)
        self.cell = GRUCell(input_size + 3, hidden_size, generator=generator)

    def forward(self, x, h, context):
        memory, mask = context
        scores = (self.query(h) * memory).sum(axis=-1)
        weights = mg.softmax(mg.where(mask, scores, -1e9), axis=0)
        read = (weights[..., None] * memory).sum(axis=0)
        nn.watch(weights=weights.T)
        return self.cell(mg.concatenate([x, read], axis=-1), h)


def normal(rng, *shape):
    return mg.tensor(rng.normal(size=shape), requires_grad=True)


def context_of(rng, places=4, batch=B):
    mask = rng.random((places, batch)) < 0.7
    mask[0] = True
    return normal(rng, places, batch, 3), mask


def close(a, b):
    for x, y in zip(mg.tree.flatten(a)[0], mg.tree.flatten(b)[0], strict=True):
        np.testing.assert_allclose(x.detach().numpy(), y.detach().numpy(), rtol=1e-10, atol=1e-12)


# An output beside the state


@settings(max_examples=5)
@given(
    rng=seeds(), reverse=st.booleans(), jitted=st.booleans(),
    lengths=st.none() | st.lists(st.integers(0, T), min_size=B, max_size=B),
)  # fmt: skip
def test_an_output_beside_the_state_is_one_that_was_carried_in_it(rng, reverse, jitted, lengths):
    short = Recurrent(Shown(I, H), reverse=reverse).astype("float64")
    long = Recurrent(Carried(I, H), reverse=reverse).astype("float64")
    long.load_state_dict(short.state_dict())
    x = normal(rng, T, B, I)
    results = []
    for layer in (short, long):
        layer.zero_grad()
        x.grad = None
        run = mg.jit(layer) if jitted else layer
        output, state = run(x, lengths=lengths)
        h = state if layer is short else state[1]
        ((output**2).sum() + (h * np.arange(H)).sum()).backward()
        results.append([output, h, x.grad, *[p.grad for p in layer.parameters()]])
    close(*results)


def test_layers_are_as_wide_as_the_outputs_below():
    layer = Recurrent(Shown, I, H, num_layers=2, bidirectional=True)
    output, state = layer(np.zeros((T, B, I), "float32"))
    assert layer.cells[2].input_size == 2 * (H + I)
    assert output.shape == (T, B, 2 * (H + 2 * (H + I))) and state.shape == (4, B, H)


def test_an_output_of_several_tensors():
    class Several(nn.Module):
        input_size, hidden_size = I, H

        def forward(self, x, h):
            return {"x": x, "norm": (h * h).sum(axis=-1)}, h + x[:, :1]

    x = normal(np.random.default_rng(0), T, B, I)
    output, _ = Recurrent(Several())(x, lengths=[4, 2, 0])
    assert output["x"].shape == (T, B, I) and not output["x"].numpy()[2:, 1].any()
    first, _ = Recurrent(Several(), batch_first=True)(x.swapaxes(0, 1), lengths=[4, 2, 0])
    close(first["norm"].T, output["norm"])
    close(Recurrent(Several())(x[:, 0])[0], mg.tree.map(lambda y: y[:, 0], output))


def test_a_pair_is_the_output_and_the_state_only_where_the_state_has_that_structure():
    x, h = mg.tensor(np.ones((B, I))), mg.tensor(np.zeros((B, H)))
    y, state = take_step(LSTMCell(I, H).astype("float64"), x, (h, h))
    assert isinstance(state, tuple) and y is state[0]
    y, state = take_step(Shown(I, H).astype("float64"), x, h)
    assert y.shape == (B, H + I) and state.shape == (B, H)


@pytest.mark.parametrize("wrap", [lambda c: Zoneout(c, 0.3), lambda c: VariationalDropout(c, 0.3, 0.0)])
def test_wrappers_hand_output_and_context_through(wrap):
    rng = np.random.default_rng(1)
    x, context = normal(rng, T, B, I), context_of(rng)
    for cell, read in ((Shown(I, H), {}), (Reader(I, H), {"context": context})):
        layer = Recurrent(wrap(cell)).astype("float64")
        trained = layer(x, **read)[0].numpy()
        plain = Recurrent(cell)(x, **read)[0].numpy()
        assert abs(trained - plain).max() > 1e-3
        if not isinstance(layer.cells[0], Zoneout):
            close(layer.eval()(x, **read)[0], Recurrent(cell)(x, **read)[0])


def test_cells_with_outputs_and_contexts_are_checked(few_cases):
    check_cell(Shown)
    check_cell(Reader)


class SeesOtherMemories(Reader):
    def forward(self, x, h, context):
        memory, mask = context
        return super().forward(x, h, (memory + memory.mean(axis=1, keepdims=True), mask))


def test_a_row_that_reads_anothers_memory_is_found(few_cases):
    with pytest.raises(AssertionError, match="changing row .* changes another(.|\n)*look at (mean|sum)"):
        check_cell(SeesOtherMemories)


# States that are declared


def test_shapes_in_terms_of_sizes():
    class Machine(nn.Module):
        state_shape = "hidden_size", ("slots 3", ""), {"image": "slots ..."}
        feature_ndim, hidden_size, slots = 3, H, 7

    x = mg.tensor(np.zeros((B, 2, 4, 5)))
    h, (memory, count), rest = initial_state(Machine(), x[None])
    assert (h.shape, memory.shape, count.shape, rest["image"].shape) == ((B, H), (B, 7, 3), (B,), (B, 7, 4, 5))
    assert h.dtype == np.float64
    Machine.state_shape = "hidden_size", "slots wide"
    with pytest.raises(ValueError, match="Machine: got state_shape 'slots wide', wanted integers.*'wide' is neither"):
        initial_state(Machine(), x[None])


# A context


@settings(max_examples=5)
@given(rng=seeds(), lengths=st.none() | st.lists(st.integers(0, T), min_size=B, max_size=B))
def test_a_context_is_read_by_every_step_eager_and_jitted(rng, lengths):
    layer = Recurrent(Reader, I, H, num_layers=2).astype("float64")
    x, (memory, mask) = normal(rng, T, B, I), context_of(rng)
    fast, results = mg.jit(layer), []
    for run in (layer, fast):
        layer.zero_grad()
        x.grad = memory.grad = None
        output, state = run(x, context=(memory, mask), lengths=lengths)
        ((output**2).sum() + state.sum()).backward()
        results.append([output, state, memory.grad, x.grad] + [p.grad for p in layer.parameters()])
    close(*results)
    by_hand = [x, (memory, mg.tensor(mask))]
    for cell in layer.cells:
        h, ys = mg.zeros((B, H), "float64"), []
        for t in range(T):
            new = cell(by_hand[0][t], h, context=by_hand[1])
            valid = np.full(B, True) if lengths is None else t < np.array(lengths)
            h = mg.where(valid[:, None], new, h)
            ys.append(mg.where(valid[:, None], new, 0))
        by_hand[0] = mg.stack(ys)
    close(output, by_hand[0])


def test_a_context_of_an_unbatched_sequence_has_no_batch_either():
    rng = np.random.default_rng(2)
    layer = Recurrent(Reader, I, H).astype("float64")
    x, (memory, mask) = normal(rng, T, B, I), context_of(rng)
    whole, _, [steps] = layer(x, context=(memory, mask), return_states=True)
    alone, _ = layer(x[:, 1], context=(memory[:, 1], mask[:, 1]))
    close(alone, whole[:, 1])
    assert steps.gates["weights"].shape == (T, B, 4)


def test_derivatives_with_respect_to_a_context():
    rng = np.random.default_rng(3)
    layer, (memory, mask) = Recurrent(Reader, I, 2), context_of(rng)

    class Run(nn.Module):
        def __init__(self):
            self.layer = layer

        def forward(self, x, memory):
            return self.layer(x, context=(memory, mask))

    assert gradcheck(Run(), (rng.normal(size=(2, B, I)), memory.numpy()), second_order=True)


def test_a_jitted_loop_over_a_context_has_kernels_alone_and_divides_the_batch():
    rng = np.random.default_rng(4)
    layer = Recurrent(Reader, I, 32)
    x, (memory, mask) = rng.normal(size=(T, 16, I)).astype("float32"), context_of(rng, 9, 16)
    memory = memory.detach().astype("float32").requires_grad_()
    text = str(mg.jit(layer).explain(mg.tensor(x), context=(memory, mg.tensor(mask))))
    assert text.count("batch divided between threads") == 2 and "Python" not in text


def test_gradient_flow_of_a_cell_that_reads():
    rng = np.random.default_rng(5)
    cell, context = Reader(I, H).astype("float64"), context_of(rng)
    flow = gradient_flow(cell, normal(rng, T, B, I), lambda y: y[-1].sum(), context=context)
    assert flow.norms.shape == (T + 1,) and (flow.norms > 0).all()


@pytest.mark.parametrize(
    "context, error, message",
    [
        (None, TypeError, "Recurrent\\(Reader\\): got no context, which its cell reads"),
        (np.zeros((4, B, 3)), TypeError, "Reader: got the context one value .*wanted context="),
        ((np.zeros((4, 2, 3)), np.ones((4, 2), bool)), ValueError, "shape .4, 2, 3. with a batch of 3, wanted 'places"),
        ((np.zeros((4, B, 2)), np.ones((4, B), bool)), ValueError, "got a context of shape .4, 3, 2."),
        ((np.zeros((4, B, 3)), np.ones((5, B), bool)), ValueError, "got a context of shape .5, 3."),
        ((np.zeros((4, B, 3)), np.ones((4, B))), TypeError, "got a context of float64, wanted bool"),
        ((np.zeros((4, B, 3)), np.ones((4, B, 1), bool)), ValueError, "got a context of shape .4, 3, 1."),
    ],
)
def test_contexts_that_do_not_fit(context, error, message):
    layer = Recurrent(Reader, I, H).astype("float64")
    with pytest.raises(error, match=message):
        layer(np.zeros((T, B, I)), context=context)
