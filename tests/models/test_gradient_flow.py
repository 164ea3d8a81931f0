import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad import nn, optim
from minigrad.models import GRUCell, LSTMCell, Recurrent, RNNCell, draw_flow, gradient_flow
from minigrad.models.tasks import cells
from minigrad.testing import seeds

pytestmark = pytest.mark.eager_only("no Recurrent is called here")
CELLS = {"RNN": RNNCell, "LSTM": LSTMCell, "GRU": GRUCell}


class LinearCell(nn.Module):
    def __init__(self, W, U):
        self.W, self.U = nn.Parameter(W), nn.Parameter(U)
        self.hidden_size = len(U)

    def forward(self, x, h):
        return x @ self.W.T + h @ self.U.T


@given(T=st.integers(1, 12), B=st.integers(1, 3), H=st.integers(1, 5), rng=seeds())
def test_of_a_linear_rnn_it_is_the_product_of_jacobians(T, B, H, rng):
    """∂L/∂h_t = ∂L/∂h_T U^(T-t), and with it the powers of U grow or shrink."""
    U = rng.normal(size=(H, H))
    cell = LinearCell(rng.normal(size=(H, 2)), U)
    at_end = rng.normal(size=(B, H))
    flow = gradient_flow(cell, rng.normal(size=(T, B, 2)), lambda outputs: (outputs[-1] * at_end).sum())
    wanted = [np.linalg.norm(at_end @ np.linalg.matrix_power(U, T - t)) for t in range(T + 1)]
    np.testing.assert_allclose(flow.norms, wanted, rtol=1e-10)


@pytest.mark.parametrize("wrap", [lambda cell: cell, mg.jit], ids=["eager", "jit"])
@pytest.mark.parametrize("name", CELLS)
def test_it_is_the_gradient_of_what_is_left_to_run(name, wrap):
    """∂L/∂h_t is the gradient with respect to the initial state of a run that starts in h_t, at step t."""
    rng = np.random.default_rng(0)
    T, B, H = 6, 2, 3
    cell = CELLS[name](2, H, generator=rng).astype("float64")
    x, weights = rng.normal(size=(T, B, 2)), rng.normal(size=(T, B, H))
    states = [
        mg.tree.map(lambda z: z + 0.1, cell.initial_state(x[0]) if name == "LSTM" else mg.tensor(np.zeros((B, H))))
    ]
    for t in range(T):
        states.append(cell(mg.tensor(x[t]), states[-1]))
    flow = gradient_flow(wrap(cell), x, lambda outputs: (outputs * weights).square().sum(), states[0])

    def rest(state, t):
        h, total = mg.tree.flatten(state)[0][0], 0.0
        if t:  # the loss sees h_t itself, but not the initial state
            total = (h * weights[t - 1]).square().sum()
        for k in range(t, T):
            state = cell(mg.tensor(x[k]), state)
            total = total + (mg.tree.flatten(state)[0][0] * weights[k]).square().sum()
        return total

    for t in range(T + 1):
        gradients = mg.tree.flatten(mg.grad(lambda s: rest(s, t))(states[t]))[0]
        for got, gradient in zip(mg.tree.flatten(flow.norms)[0], gradients, strict=True):
            assert got.shape == (T + 1,)
            np.testing.assert_allclose(got[t], np.linalg.norm(gradient.numpy()), rtol=1e-10)


@pytest.mark.parametrize("name", cells.CELLS)
def test_any_cell(name):
    """One norm for each part of the state at each step; and the parameters' gradient is that of the layer."""
    rng = np.random.default_rng(4)
    cell = cells.CELLS[name](2, 4, generator=rng).astype("float64")
    x = rng.normal(size=(5, 3, 2, *((2, 3) if hasattr(cell, "feature_ndim") else ())))
    flow = gradient_flow(cell, x, lambda outputs: outputs.square().sum())
    output, state = Recurrent(cell)(mg.tensor(x))
    output.square().sum().backward()
    total = np.sqrt(sum(np.square(p.grad.numpy()).sum() for p in cell.parameters()))
    assert flow.total == pytest.approx(total, rel=1e-10)
    parts, structure = mg.tree.flatten(flow.norms)
    assert structure == mg.tree.flatten(state)[1]
    assert all(part.shape == (6,) and np.isfinite(part).all() for part in parts)
    last = 5 if name == "gridlstm" else 6  # whose output is beside the state: nothing reads the last one
    assert np.sum(parts, axis=0)[:last].all()


class ShowsMemory(LSTMCell):
    def output(self, state):
        return state[1]


def carousel(forget: float):
    cell = ShowsMemory(1, 3).astype("float64")
    with mg.no_grad():
        cell.weight_hh.zero_()
        cell.bias_ih[3:6] = forget
    return cell


@pytest.mark.parametrize("unit", range(3))
def test_the_constant_error_carousel(unit):
    """With f = 1, and the gates not looking at h, ∂c_T/∂c_t = I for every t; with f = 1/2 it is halved at each step."""
    x = np.random.default_rng(1).normal(size=(200, 1, 1))
    h, c = gradient_flow(carousel(1000.0), x, lambda memory: memory[-1, 0, unit]).norms
    np.testing.assert_array_equal(c, np.ones(201))
    assert not h.any()
    cell = carousel(0.0)
    with mg.no_grad():
        cell.weight_ih[3:6] = 0.0
        cell.bias_hh[3:6] = 0.0
    _, c = gradient_flow(cell, x[:20], lambda memory: memory[-1, 0, unit]).norms
    np.testing.assert_allclose(c, 0.5 ** np.arange(20, -1, -1), rtol=1e-12)


def test_jacobian_of_the_carousel_is_the_identity():
    cell, x = carousel(1000.0), mg.tensor(np.ones((50, 1)))

    def last(c):
        return mg.scan(lambda s, x: (cell(x, s), None), (mg.tensor(np.zeros(3)), c), x)[0][1]

    np.testing.assert_array_equal(mg.jacobian(last)(mg.tensor(np.array([0.3, -1.0, 2.0]))).numpy(), np.eye(3))


@given(max_norm=st.floats(1e-3, 1e3), rng=seeds())
def test_clipping_scales_the_flow_as_it_scales_the_gradients(max_norm, rng):
    cell = GRUCell(1, 3, generator=rng).astype("float64")
    x = rng.normal(size=(5, 2, 1))
    flow = gradient_flow(cell, x, lambda outputs: outputs.square().sum() * 10)
    clipped = flow.clipped(max_norm)

    h, value = mg.tensor(np.zeros((2, 3))), 0.0
    for t in range(5):
        h = cell(mg.tensor(x[t]), h)
        value = value + h.square().sum() * 10
    value.backward()
    norm = float(optim.clip_grad_norm(list(cell.parameters()), max_norm))
    assert flow.total == pytest.approx(norm, rel=1e-10)
    left = np.sqrt(sum(np.square(p.grad.numpy()).sum() for p in cell.parameters()))
    assert clipped.total == pytest.approx(left, rel=1e-5)
    np.testing.assert_allclose(clipped.norms, flow.norms * left / norm, rtol=1e-5)


def test_rnn_forgets_where_lstm_and_gru_remember():
    """Side by side, as one would begin: forget and update gates open, weights as PyTorch starts them."""
    rng = np.random.default_rng(2)
    x = rng.normal(size=(60, 4, 1)).astype("float32")
    cells = {name: cell(1, 32, generator=rng) for name, cell in CELLS.items()}
    with mg.no_grad():
        cells["LSTM"].bias_ih[32:64] = 3.0
        cells["GRU"].bias_ih[32:64] = 3.0
    flows = {n: gradient_flow(cell, x, lambda outputs: outputs[-1].sum()) for n, cell in cells.items()}
    kept = {
        n: mg.tree.flatten(flow.norms)[0][-1][0] / mg.tree.flatten(flow.norms)[0][0][-1] for n, flow in flows.items()
    }
    assert kept["RNN"] < 1e-6 < 1e-3 < min(kept["LSTM"], kept["GRU"])


def test_gradients_that_were_there_stay():
    cell = RNNCell(1, 2)
    first = gradient_flow(cell, np.ones((3, 1, 1), "float32"), lambda outputs: outputs.sum())
    cell.weight_ih.grad = mg.tensor(np.full((2, 1), 7.0, "float32"))
    assert gradient_flow(cell, np.ones((3, 1, 1), "float32"), lambda outputs: outputs.sum()).total == first.total
    assert (cell.weight_ih.grad.numpy() == 7).all() and cell.weight_hh.grad is None


def test_huge_gradients_do_not_overflow():
    cell = LinearCell(np.ones((1, 1), "float32"), np.full((1, 1), 3.0, "float32"))
    flow = gradient_flow(cell, np.ones((60, 1, 1), "float32"), lambda outputs: outputs[-1].sum())
    np.testing.assert_allclose(flow.norms, 3.0 ** np.arange(60, -1, -1), rtol=1e-4)
    assert np.isfinite(flow.total)


@pytest.mark.parametrize("max_norm, panels", [(None, 1), (1.0, 2)])
def test_picture(max_norm, panels, tmp_path, monkeypatch):
    from matplotlib.figure import Figure

    drawn = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *a, **k: (drawn.append(self), save(self, *a, **k)))
    x = np.random.default_rng(3).normal(size=(10, 2, 1)).astype("float32")
    flows = {name: gradient_flow(cell(1, 4), x, lambda outputs: outputs[-1].sum()) for name, cell in CELLS.items()}
    draw_flow(flows, tmp_path / "flow.png", max_norm)
    assert (tmp_path / "flow.png").read_bytes().startswith(b"\x89PNG")
    (figure,) = drawn
    assert len(figure.axes) == panels
    lines = {line.get_label(): line.get_ydata() for line in figure.axes[0].lines}
    assert list(lines) == ["RNN", "LSTM, h", "LSTM, c", "GRU"]
    np.testing.assert_allclose(lines["GRU"], flows["GRU"].norms[::-1])


def test_a_loss_that_is_no_scalar():
    with pytest.raises(ValueError, match=r"got a loss of shape \(2, 3\), wanted a scalar"):
        gradient_flow(RNNCell(1, 3), np.ones((4, 2, 1), "float32"), lambda outputs: outputs[-1])
