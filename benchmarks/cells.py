"""The cells of recurrent.py: their numbers, ours as classes, the peers' as functions, all with the same equations.

LSTM, GRU, tanh RNN and ConvLSTM of ours are those of minigrad.models; the others, which no library fuses by hand, are
written here as a user writes them. `forward_of` says each cell once for PyTorch and JAX: `F` holds the framework's
functions, `p` the parameters.
"""

import math
from types import SimpleNamespace

KERNEL, IMAGE = 5, (16, 16)  # ConvLSTM: 5x5 kernels over 16x16 patches


def shapes(cell: str, I: int, H: int) -> dict:
    """Parameter names and shapes."""

    def gates(n, *biases):
        return {"weight_ih": (n * H, I), "weight_hh": (n * H, H)} | dict.fromkeys(biases, (n * H,))

    return {
        "lstm": gates(4, "bias_ih", "bias_hh"),
        "gru": gates(3, "bias_ih", "bias_hh"),
        "rnn": gates(1, "bias_ih", "bias_hh"),
        "peephole": gates(4, "bias") | {"p_i": (H,), "p_f": (H,), "p_o": (H,)},
        "cifg": gates(3, "bias"),
        "layernorm": gates(4, "gain_x", "bias_x", "gain_h", "bias_h") | {"gain_c": (H,), "bias_c": (H,)},
        "mgu": {"W_f": (H, I), "U_f": (H, H), "b_f": (H,), "W": (H, I), "U": (H, H), "b": (H,)},
        "mut1": {"W_xz": (H, I), "b_z": (H,), "W_xr": (H, I), "W_hr": (H, H), "b_r": (H,), "W_hh": (H, H), "b_h": (H,)}
        | ({} if I == H else {"W_x": (H, I)}),
        "convlstm": {
            "weight_ih": (4 * H, I, KERNEL, KERNEL),
            "weight_hh": (4 * H, H, KERNEL, KERNEL),
            "bias": (4 * H,),
        },
    }[cell]


CELLS = ["lstm", "gru", "rnn", "peephole", "cifg", "layernorm", "mgu", "mut1", "convlstm"]
HAND_FUSED = CELLS[:3]  # by torch.nn
TWO_STATES = ["lstm", "peephole", "cifg", "layernorm", "convlstm"]  # h and c; the others have h alone


def flops(cell: str, point, mode: str) -> float:
    """Of the products of a step: forward, and for training twice as many again, for inputs and for weights."""
    T, B, I, H = point
    border = KERNEL // 2 * (KERNEL // 2 + 1) / KERNEL  # of pixels, whose products are with the padding
    pixels = math.prod(n - border for n in IMAGE) if cell == "convlstm" else 1
    weights = sum(math.prod(shape) for shape in shapes(cell, I, H).values() if len(shape) > 1)
    return (3 if mode == "train" else 1) * 2.0 * T * B * pixels * weights


def numbers(cell: str, point):
    """Parameters, x (T, B, I), a cotangent of the output and zeros for a state, all float32."""
    import numpy as np

    T, B, I, H = point
    rng = np.random.default_rng(0)
    image = IMAGE if cell == "convlstm" else ()
    parameters = {}
    for name, shape in shapes(cell, I, H).items():
        k = (math.prod(shape[1:]) if len(shape) > 1 else H) ** -0.5
        parameters[name] = (rng.uniform(-k, k, shape) + name.startswith("gain")).astype("float32")
    x, cotangent = [rng.standard_normal((T, B, n, *image), "float32") for n in (I, H)]
    return parameters, x, cotangent, np.zeros((B, H, *image), "float32")


def minigrad_layer(cell: str, I: int, H: int):
    """`Recurrent` around our cell."""
    import numpy as np

    import minigrad as mg
    from minigrad import nn
    from minigrad.models import ConvLSTMCell, GRUCell, LSTMCell, Recurrent, RNNCell

    def parameter(*shape):
        return nn.Parameter(nn.init.uniform(shape, H**-0.5))

    def two_zeros(cell, x):
        zero = mg.tensor(np.zeros((len(x), cell.hidden_size), x.dtype))
        return zero, zero

    class PeepholeLSTM(nn.Module):  # Gers, Schraudolph & Schmidhuber 2002, JMLR 3
        initial_state = two_zeros

        def __init__(self, I, H):
            self.input_size, self.hidden_size = I, H
            self.weight_ih, self.weight_hh, self.bias = parameter(4 * H, I), parameter(4 * H, H), parameter(4 * H)
            self.p_i, self.p_f, self.p_o = parameter(H), parameter(H), parameter(H)

        def forward(self, x, state):
            h, c = state
            i, f, g, o = mg.split(x @ self.weight_ih.T + h @ self.weight_hh.T + self.bias, 4, axis=-1)
            i, f = mg.sigmoid(i + self.p_i * c), mg.sigmoid(f + self.p_f * c)
            c = f * c + i * mg.tanh(g)
            o = mg.sigmoid(o + self.p_o * c)
            return o * mg.tanh(c), c

    class CoupledLSTM(nn.Module):  # input and forget gate coupled: CIFG of Greff et al. 2015, arXiv:1503.04069
        initial_state = two_zeros

        def __init__(self, I, H):
            self.input_size, self.hidden_size = I, H
            self.weight_ih, self.weight_hh, self.bias = parameter(3 * H, I), parameter(3 * H, H), parameter(3 * H)

        def forward(self, x, state):
            h, c = state
            i, g, o = mg.split(x @ self.weight_ih.T + h @ self.weight_hh.T + self.bias, 3, axis=-1)
            i, g, o = mg.sigmoid(i), mg.tanh(g), mg.sigmoid(o)
            c = (1 - i) * c + i * g
            return o * mg.tanh(c), c

    class LayerNormLSTM(nn.Module):  # Ba, Kiros & Hinton 2016, arXiv:1607.06450
        initial_state = two_zeros

        def __init__(self, I, H):
            self.input_size, self.hidden_size = I, H
            self.weight_ih, self.weight_hh = parameter(4 * H, I), parameter(4 * H, H)
            self.gain_x, self.bias_x = parameter(4 * H), parameter(4 * H)
            self.gain_h, self.bias_h = parameter(4 * H), parameter(4 * H)
            self.gain_c, self.bias_c = parameter(H), parameter(H)

        def forward(self, x, state):
            h, c = state
            a = mg.layer_norm(x @ self.weight_ih.T, self.gain_x, self.bias_x)
            a = a + mg.layer_norm(h @ self.weight_hh.T, self.gain_h, self.bias_h)
            i, f, g, o = mg.split(a, 4, axis=-1)
            c = mg.sigmoid(f) * c + mg.sigmoid(i) * mg.tanh(g)
            return mg.sigmoid(o) * mg.tanh(mg.layer_norm(c, self.gain_c, self.bias_c)), c

    class MGU(nn.Module):  # minimal gated unit, Zhou et al. 2016, arXiv:1603.09420
        def __init__(self, I, H):
            self.input_size, self.hidden_size = I, H
            self.W_f, self.U_f, self.b_f = parameter(H, I), parameter(H, H), parameter(H)
            self.W, self.U, self.b = parameter(H, I), parameter(H, H), parameter(H)

        def forward(self, x, h):
            f = mg.sigmoid(x @ self.W_f.T + h @ self.U_f.T + self.b_f)
            n = mg.tanh(x @ self.W.T + (f * h) @ self.U.T + self.b)
            return (1 - f) * h + f * n

    class MUT1(nn.Module):  # Jozefowicz, Zaremba & Sutskever 2015, ICML; x is projected where I is not H
        def __init__(self, I, H):
            self.input_size, self.hidden_size = I, H
            self.W_xz, self.b_z = parameter(H, I), parameter(H)
            self.W_xr, self.W_hr, self.b_r = parameter(H, I), parameter(H, H), parameter(H)
            self.W_hh, self.b_h = parameter(H, H), parameter(H)
            self.W_x = None if I == H else parameter(H, I)

        def forward(self, x, h):
            z = mg.sigmoid(x @ self.W_xz.T + self.b_z)
            r = mg.sigmoid(x @ self.W_xr.T + h @ self.W_hr.T + self.b_r)
            x = x if self.W_x is None else x @ self.W_x.T
            n = mg.tanh((r * h) @ self.W_hh.T + mg.tanh(x) + self.b_h)
            return n * z + h * (1 - z)

    classes = {
        "lstm": LSTMCell, "gru": GRUCell, "rnn": RNNCell, "peephole": PeepholeLSTM, "cifg": CoupledLSTM,
        "layernorm": LayerNormLSTM, "mgu": MGU, "mut1": MUT1, "convlstm": ConvLSTMCell,
    }  # fmt: skip
    return Recurrent(classes[cell], I, H, *[KERNEL] * (cell == "convlstm"))


# The same for PyTorch and JAX.


def lstm(F, p, x, state):
    h, c = state
    i, f, g, o = F.split(x @ p.weight_ih.T + p.bias_ih + h @ p.weight_hh.T + p.bias_hh, 4)
    c = F.sigmoid(f) * c + F.sigmoid(i) * F.tanh(g)
    return F.sigmoid(o) * F.tanh(c), c


def gru(F, p, x, h):
    x_r, x_z, x_n = F.split(x @ p.weight_ih.T + p.bias_ih, 3)
    h_r, h_z, h_n = F.split(h @ p.weight_hh.T + p.bias_hh, 3)
    r, z = F.sigmoid(x_r + h_r), F.sigmoid(x_z + h_z)
    n = F.tanh(x_n + r * h_n)
    return (1 - z) * n + z * h


def rnn(F, p, x, h):
    return F.tanh(x @ p.weight_ih.T + p.bias_ih + h @ p.weight_hh.T + p.bias_hh)


def peephole(F, p, x, state):
    h, c = state
    i, f, g, o = F.split(x @ p.weight_ih.T + h @ p.weight_hh.T + p.bias, 4)
    i, f = F.sigmoid(i + p.p_i * c), F.sigmoid(f + p.p_f * c)
    c = f * c + i * F.tanh(g)
    o = F.sigmoid(o + p.p_o * c)
    return o * F.tanh(c), c


def cifg(F, p, x, state):
    h, c = state
    i, g, o = F.split(x @ p.weight_ih.T + h @ p.weight_hh.T + p.bias, 3)
    i, g, o = F.sigmoid(i), F.tanh(g), F.sigmoid(o)
    c = (1 - i) * c + i * g
    return o * F.tanh(c), c


def layernorm(F, p, x, state):
    h, c = state
    a = F.layer_norm(x @ p.weight_ih.T, p.gain_x, p.bias_x) + F.layer_norm(h @ p.weight_hh.T, p.gain_h, p.bias_h)
    i, f, g, o = F.split(a, 4)
    c = F.sigmoid(f) * c + F.sigmoid(i) * F.tanh(g)
    return F.sigmoid(o) * F.tanh(F.layer_norm(c, p.gain_c, p.bias_c)), c


def mgu(F, p, x, h):
    f = F.sigmoid(x @ p.W_f.T + h @ p.U_f.T + p.b_f)
    n = F.tanh(x @ p.W.T + (f * h) @ p.U.T + p.b)
    return (1 - f) * h + f * n


def mut1(F, p, x, h):
    z = F.sigmoid(x @ p.W_xz.T + p.b_z)
    r = F.sigmoid(x @ p.W_xr.T + h @ p.W_hr.T + p.b_r)
    x = x @ p.W_x.T if hasattr(p, "W_x") else x
    n = F.tanh((r * h) @ p.W_hh.T + F.tanh(x) + p.b_h)
    return n * z + h * (1 - z)


def convlstm(F, p, x, state):
    h, c = state
    i, f, g, o = F.split(F.conv(x, p.weight_ih, p.bias) + F.conv(h, p.weight_hh), 4, -3)
    c = F.sigmoid(f) * c + F.sigmoid(i) * F.tanh(g)
    return F.sigmoid(o) * F.tanh(c), c


forward_of = {f.__name__: f for f in (lstm, gru, rnn, peephole, cifg, layernorm, mgu, mut1, convlstm)}


# Peers: (cell, point) -> (train() -> (output, gradients by name), infer()).


def with_minigrad(cell, point):
    import minigrad as mg

    parameters, x, cotangent, _ = numbers(cell, point)
    module = minigrad_layer(cell, *point[2:])
    module.load_state_dict({f"{name}_l0": value for name, value in parameters.items()})
    layer = mg.jit(module)
    X, G = mg.tensor(x, requires_grad=True), mg.tensor(cotangent)
    leaves = {name: getattr(module, f"{name}_l0") for name in parameters} | {"x": X}

    def train():
        for leaf in leaves.values():
            leaf.grad = None
        output, _ = layer(X)
        output.backward(G)
        return output.detach(), {name: leaf.grad for name, leaf in leaves.items()}

    def infer():
        with mg.no_grad():
            return layer(X)[0]

    return train, infer


def torch_pair(layer, leaves, cotangent):
    import torch

    X, G = leaves["x"], torch.from_numpy(cotangent)

    def train():
        for leaf in leaves.values():
            leaf.grad = None
        output = layer(X)
        output.backward(G)
        return output.detach(), {name: leaf.grad for name, leaf in leaves.items()}

    def infer():
        with torch.no_grad():
            return layer(X)

    return train, infer


def with_torch_nn(cell, point):
    import torch

    parameters, x, cotangent, _ = numbers(cell, point)
    module = getattr(torch.nn, cell.upper())(*point[2:])
    module.load_state_dict({f"{name}_l0": torch.from_numpy(value) for name, value in parameters.items()})
    leaves = {name: getattr(module, f"{name}_l0") for name in parameters}
    leaves["x"] = torch.from_numpy(x).requires_grad_()
    return torch_pair(lambda x: module(x)[0], leaves, cotangent)


def with_torch(cell, point, compiled=False):
    import torch

    parameters, x, cotangent, zero = numbers(cell, point)
    leaves = {name: torch.from_numpy(value).requires_grad_() for name, value in (parameters | {"x": x}).items()}
    p, zero, step, two = SimpleNamespace(**leaves), torch.from_numpy(zero), forward_of[cell], cell in TWO_STATES
    F = SimpleNamespace(
        sigmoid=torch.sigmoid,
        tanh=torch.tanh,
        split=lambda a, n, axis=-1: a.chunk(n, axis),
        layer_norm=lambda a, gain, bias: torch.nn.functional.layer_norm(a, gain.shape, gain, bias),
        conv=lambda x, w, b=None: torch.nn.functional.conv2d(x, w, b, padding="same"),
    )

    def layer(x):
        state = (zero, zero) if two else zero
        outputs = []
        for x_t in x:
            state = step(F, p, x_t, state)
            outputs.append(state[0] if two else state)
        return torch.stack(outputs)

    return torch_pair(torch.compile(layer) if compiled else layer, leaves, cotangent)


def with_torch_compile(cell, point):
    return with_torch(cell, point, compiled=True)


def with_jax(cell, point):
    import jax
    import jax.numpy as jnp

    parameters, x, cotangent, zero = numbers(cell, point)
    step, two = forward_of[cell], cell in TWO_STATES
    leaves, zero, G = jax.tree.map(jnp.asarray, (parameters | {"x": x}, zero, cotangent))

    def conv(x, w, b=0):  # channels last: 50 times faster than channels first, once it stands in a scan
        x, w = x.transpose(0, 2, 3, 1), w.transpose(2, 3, 1, 0)
        y = jax.lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")) + b
        return y.transpose(0, 3, 1, 2)

    F = SimpleNamespace(
        sigmoid=jax.nn.sigmoid,
        tanh=jnp.tanh,
        split=lambda a, n, axis=-1: jnp.split(a, n, axis),
        layer_norm=lambda a, gain, bias: jax.nn.standardize(a, epsilon=1e-5) * gain + bias,
        conv=conv,
    )

    def layer(leaves):
        def scanned(state, x_t):
            state = step(F, SimpleNamespace(**leaves), x_t, state)
            return state, state[0] if two else state

        return jax.lax.scan(scanned, (zero, zero) if two else zero, leaves["x"])[1]

    @jax.jit
    def forward_and_backward(leaves, G):
        output, vjp = jax.vjp(layer, leaves)
        return output, vjp(G)[0]

    forward = jax.jit(layer)
    return (
        lambda: jax.block_until_ready(forward_and_backward(leaves, G)),
        lambda: jax.block_until_ready(forward(leaves)),
    )


def with_large_product(cell, point):
    import numpy as np

    a = np.ones((2048, 2048), "float32")
    return None, lambda: a @ a


PEERS = {
    "minigrad": with_minigrad,
    "torch_nn": with_torch_nn,
    "torch": with_torch,
    "jax": with_jax,
    "torch_compile": with_torch_compile,
}


def exists(peer: str, cell: str) -> bool:
    return peer != "torch_nn" or cell in HAND_FUSED
