"""One step of an LSTM cell, B=1 I=H=64, as each peer's users call it: nothing but the call costs much. For jobs.py."""

from collections.abc import Callable

import numpy as np

H = 64


def cell_step(peer: str, gradient: bool) -> Callable | None:
    """A function that gives the next state; with `gradient`, those of the parameters from a cotangent of h."""
    rng = np.random.default_rng(0)
    x, h, c, g = [rng.standard_normal((1, H), "float32") for _ in range(4)]
    shapes = [(4 * H, H), (4 * H, H), (4 * H,), (4 * H,)]  # as PyTorch has them: W_ih, W_hh, b_ih, b_hh
    parameters = [rng.uniform(-(H**-0.5), H**-0.5, shape).astype("float32") for shape in shapes]
    if peer == "jax":
        return jax_cell_step(parameters, x, h, c, g, gradient)
    if peer == "bfloat16" or (peer == "step" and not gradient):
        return None
    if peer == "torch":
        import torch

        cell, off, leaf, tensor = torch.nn.LSTMCell(H, H), torch.no_grad, torch.nn.Parameter, torch.from_numpy
    else:
        import minigrad as mg
        from minigrad.models import LSTMCell

        cell, off, leaf, tensor = LSTMCell(H, H), mg.no_grad, mg.nn.Parameter, mg.tensor
        cell = mg.jit(cell) if peer == "minigrad" else cell
    x, h, c, g = map(tensor, (x, h, c, g))
    leaves = [leaf(tensor(a)) for a in parameters]
    for name, parameter in zip(("weight_ih", "weight_hh", "bias_ih", "bias_hh"), leaves):
        setattr(cell, name, parameter)

    def infer():
        with off():
            return cell(x, (h, c))

    def backward(x, h, c, g):
        for parameter in leaves:
            parameter.grad = None
        cell(x, (h, c))[0].backward(g)

    if peer == "step":
        backward = mg.jit(backward)

    def train():
        backward(x, h, c, g)
        return [parameter.grad for parameter in leaves]

    return train if gradient else infer


def jax_cell_step(parameters, x, h, c, g, gradient: bool) -> Callable:
    import jax
    from jax import numpy as jnp

    def step(parameters, x, h, c):
        weight_ih, weight_hh, bias_ih, bias_hh = parameters
        i, f, z, o = jnp.split(x @ weight_ih.T + bias_ih + h @ weight_hh.T + bias_hh, 4, axis=1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(z)
        return jax.nn.sigmoid(o) * jnp.tanh(c), c

    def with_gradient(parameters, x, h, c, g):
        h, vjp = jax.vjp(lambda p: step(p, x, h, c)[0], parameters)
        return h, *vjp(g)

    parameters, x, h, c, g = jax.tree.map(jnp.asarray, (parameters, x, h, c, g))
    infer, train = jax.jit(step), jax.jit(with_gradient)
    if gradient:
        return lambda: jax.block_until_ready(train(parameters, x, h, c, g))[1]
    return lambda: jax.block_until_ready(infer(parameters, x, h, c))


STEPS = {
    "cell_step": lambda peer: cell_step(peer, gradient=False),
    "cell_grad": lambda peer: cell_step(peer, gradient=True),
}


def norms(results) -> list[float]:
    return [float(np.linalg.norm(np.asarray(x))) for x in results]
