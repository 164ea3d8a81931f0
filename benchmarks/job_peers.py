"""The jobs of jobs.py, as each peer's users write them. A step returns its loss and the norm of its gradients."""

import contextlib
from itertools import pairwise

import numpy as np

# Numbers of each job: parameters by name, then what a step reads. Data stay the same from step to step, and learning
# rates are small: nothing trains so far that numbers become denormal.
RATE = 1e-4


def mlp(rng):
    sizes = [784, 512, 512, 10]
    parameters = {}
    for k, (n, m) in enumerate(pairwise(sizes)):
        parameters |= {f"w{k}": uniform(rng, n, m, n), f"b{k}": uniform(rng, n, m)}
    return parameters, {"x": normal(rng, 64, 784), "target": rng.integers(0, 10, 64)}


def cnn(rng):
    parameters = {
        "w0": uniform(rng, 9, 32, 1, 3, 3), "b0": uniform(rng, 9, 32), "w1": uniform(rng, 288, 64, 32, 3, 3),
        "b1": uniform(rng, 288, 64), "w2": uniform(rng, 3136, 10, 3136), "b2": uniform(rng, 3136, 10),
    }  # fmt: skip
    return parameters, {"x": normal(rng, 64, 1, 28, 28), "target": rng.integers(0, 10, 64)}


def embedding(rng):
    return {"w": normal(rng, 10_000, 128)}, {
        "indices": rng.integers(0, 10_000, (64, 32)),
        "g": normal(rng, 64, 32, 128),
    }


def layer_norm(rng):
    parameters = {"x": normal(rng, 2048, 256), "weight": uniform(rng, 1, 256), "bias": uniform(rng, 1, 256)}
    return parameters, {"g": normal(rng, 2048, 256)}


def cross_entropy(rng):
    return {"x": normal(rng, 2048, 256)}, {"target": rng.integers(0, 256, 2048)}


def max_pool(rng):
    return {"x": normal(rng, 64, 32, 28, 28)}, {"g": normal(rng, 64, 32, 14, 14)}


def ctc(rng):
    return {"x": normal(rng, 100, 16, 32)}, {"targets": rng.integers(1, 32, (16, 20))}


def clip_adam(rng):
    shapes = [(1024, 64), (1024, 256), (1024,), (1024,), (96, 256), (96,), (96, 64)]
    return {f"p{k}": normal(rng, *shape) for k, shape in enumerate(shapes)}, {}


def character(rng):
    parameters = {
        "embedding": normal(rng, 96, 64), "weight_ih": uniform(rng, 256, 1024, 64),
        "weight_hh": uniform(rng, 256, 1024, 256), "bias_ih": uniform(rng, 256, 1024),
        "bias_hh": uniform(rng, 256, 1024), "w": uniform(rng, 256, 96, 256), "b": uniform(rng, 256, 96),
    }  # fmt: skip
    return parameters, {"text": rng.integers(0, 96, (64, 32)), "target": rng.integers(0, 96, 64 * 32)}


def lstm(rng, T=64, B=32, I=128, H=256):
    parameters = {"x": normal(rng, T, B, I), "weight_ih": uniform(rng, H, 4 * H, I)}
    parameters |= {"weight_hh": uniform(rng, H, 4 * H, H), "bias_ih": uniform(rng, H, 4 * H)}
    return parameters | {"bias_hh": uniform(rng, H, 4 * H)}, {}


def lstm_large(rng):
    return lstm(rng, 32, 128, 512, 512)


def normal(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32)


def uniform(rng, fan, *shape):
    return rng.uniform(-(fan**-0.5), fan**-0.5, shape).astype(np.float32)


JOBS = {
    f.__name__: f
    for f in (mlp, cnn, embedding, layer_norm, cross_entropy, max_pool, ctc, clip_adam, character, lstm, lstm_large)
}
TRAINED = (
    "mlp",
    "cnn",
    "character",
)  # a step ends with an update: clipped, where it is the character model, and Adam's
CLIPPED = ("character", "clip_adam")
WITH_LSTM = ("character", "lstm", "lstm_large")
GATES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def with_minigrad(job, compiled="loss", precision=None):
    """compiled: what is jitted: the loss alone, the whole "step", or nothing."""
    import minigrad as mg
    from minigrad.models import LSTM, ctc_loss

    arrays, data = JOBS[job](np.random.default_rng(0))
    p = {name: mg.tensor(a, requires_grad=True) for name, a in arrays.items()}
    d = {name: mg.tensor(a) for name, a in data.items()}
    if job in WITH_LSTM:
        lstm = LSTM(arrays["weight_ih"].shape[1], arrays["weight_hh"].shape[1])
        for name in GATES:
            setattr(lstm, f"{name}_l0", mg.nn.Parameter(p[name]))
            p[name] = getattr(lstm, f"{name}_l0")

    def mlp(x, target):
        x = mg.relu(x @ p["w0"].T + p["b0"])
        x = mg.relu(x @ p["w1"].T + p["b1"])
        return mg.cross_entropy(x @ p["w2"].T + p["b2"], target)

    def cnn(x, target):
        x = mg.max_pool2d(mg.relu(mg.conv2d(x, p["w0"], p["b0"], padding=1)), 2)
        x = mg.max_pool2d(mg.relu(mg.conv2d(x, p["w1"], p["b1"], padding=1)), 2)
        return mg.cross_entropy(x.reshape(x.shape[0], -1) @ p["w2"].T + p["b2"], target)

    def character(text, target):
        output, _ = lstm(mg.embedding(p["embedding"], text))
        return mg.cross_entropy(output.reshape(-1, 256) @ p["w"].T + p["b"], target)

    losses = {
        "mlp": mlp, "cnn": cnn, "character": character,
        "embedding": lambda indices, g: (mg.embedding(p["w"], indices) * g).sum(),
        "layer_norm": lambda g: (mg.layer_norm(p["x"], p["weight"], p["bias"]) * g).sum(),
        "cross_entropy": lambda target: mg.cross_entropy(p["x"], target),
        "max_pool": lambda g: (mg.max_pool2d(p["x"], 2) * g).sum(),
        "ctc": lambda targets: ctc_loss(mg.log_softmax(p["x"]), targets),
        "lstm": lambda: lstm(p["x"])[0].sum(), "lstm_large": lambda: lstm(p["x"])[0].sum(),
    }  # fmt: skip
    parameters = list(p.values())
    optimizer = mg.optim.Adam(parameters, lr=RATE) if job in (*TRAINED, "clip_adam") else None
    loss_of = losses.get(job)
    if compiled == "loss" and loss_of:
        loss_of = mg.jit(loss_of, precision=precision)

    def train(*data):
        loss = 0.0
        if loss_of:
            for q in parameters:
                q.grad = None
            loss = loss_of(*data)
            loss.backward()
        if job in CLIPPED:
            mg.optim.clip_grad_norm(parameters, 1.0)
        if optimizer:
            optimizer.step()
        return loss

    if compiled == "step":
        train = mg.jit(train)

    def step():
        return float(train(*d.values()))

    if job == "clip_adam":
        for q in parameters:
            q.grad = mg.tensor(q.numpy().copy())
    return norm_after(step, lambda: [q.grad.numpy() for q in parameters])


def with_torch(job, bfloat16=False):
    import torch
    from torch.nn import functional as F

    arrays, data = JOBS[job](np.random.default_rng(0))
    p = {name: torch.from_numpy(a).requires_grad_() for name, a in arrays.items()}
    d = {name: torch.from_numpy(a) for name, a in data.items()}
    if job in WITH_LSTM:
        lstm = torch.nn.LSTM(arrays["weight_ih"].shape[1], arrays["weight_hh"].shape[1])
        for name in GATES:
            setattr(lstm, f"{name}_l0", torch.nn.Parameter(p[name].detach()))
            p[name] = getattr(lstm, f"{name}_l0")

    def mlp(x, target):
        x = F.relu(F.linear(x, p["w0"], p["b0"]))
        x = F.relu(F.linear(x, p["w1"], p["b1"]))
        return F.cross_entropy(F.linear(x, p["w2"], p["b2"]), target)

    def cnn(x, target):
        x = F.max_pool2d(F.relu(F.conv2d(x, p["w0"], p["b0"], padding=1)), 2)
        x = F.max_pool2d(F.relu(F.conv2d(x, p["w1"], p["b1"], padding=1)), 2)
        return F.cross_entropy(F.linear(x.flatten(1), p["w2"], p["b2"]), target)

    def character(text, target):
        output, _ = lstm(F.embedding(text, p["embedding"]))
        return F.cross_entropy(F.linear(output.reshape(-1, 256), p["w"], p["b"]), target)

    frames, labels = torch.full((16,), 100), torch.full((16,), 20)
    losses = {
        "mlp": mlp, "cnn": cnn, "character": character,
        "embedding": lambda indices, g: (F.embedding(indices, p["w"]) * g).sum(),
        "layer_norm": lambda g: (F.layer_norm(p["x"], (256,), p["weight"], p["bias"]) * g).sum(),
        "cross_entropy": lambda target: F.cross_entropy(p["x"], target),
        "max_pool": lambda g: (F.max_pool2d(p["x"], 2) * g).sum(),
        "ctc": lambda targets: F.ctc_loss(F.log_softmax(p["x"], -1), targets, frames, labels),
        "lstm": lambda: lstm(p["x"])[0].float().sum(), "lstm_large": lambda: lstm(p["x"])[0].float().sum(),
    }  # fmt: skip
    parameters = list(p.values())
    optimizer = torch.optim.Adam(parameters, lr=RATE) if job in (*TRAINED, "clip_adam") else None
    loss_of = losses.get(job)
    if job == "clip_adam":
        for q in parameters:
            q.grad = q.detach().clone()

    def step():
        loss = 0.0
        if loss_of:
            for q in parameters:
                q.grad = None
            lower = torch.autocast("cpu", torch.bfloat16) if bfloat16 else contextlib.nullcontext()
            with lower:
                loss = loss_of(*d.values())
            loss.backward()
        if job in CLIPPED:
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        if optimizer:
            optimizer.step()
        return float(loss.detach()) if loss_of else 0.0

    return norm_after(step, lambda: [q.grad.numpy() for q in parameters])


def norm_after(step, gradients):
    def run():
        loss = step()
        return loss if run.told else run.tell(loss)

    def tell(loss):
        run.told = True
        return loss, float(np.sqrt(sum(float((g.astype(np.float64) ** 2).sum()) for g in gradients())))

    run.told, run.tell = False, tell
    return run


def with_jax(job):
    import jax
    from jax import numpy as jnp

    arrays, data = JOBS[job](np.random.default_rng(0))
    p, d = [{name: jnp.asarray(a) for name, a in given.items()} for given in (arrays, data)]

    def log_loss(logits, target):
        return -jnp.take_along_axis(jax.nn.log_softmax(logits), target[:, None], 1).mean()

    def mlp(p, x, target):
        x = jax.nn.relu(x @ p["w0"].T + p["b0"])
        x = jax.nn.relu(x @ p["w1"].T + p["b1"])
        return log_loss(x @ p["w2"].T + p["b2"], target)

    def pool(x):
        return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")

    def conv(x, w, b):
        return jax.nn.relu(jax.lax.conv(x, w, (1, 1), "SAME") + b[:, None, None])

    def cnn(p, x, target):
        x = pool(conv(pool(conv(x, p["w0"], p["b0"])), p["w1"], p["b1"]))
        return log_loss(x.reshape(x.shape[0], -1) @ p["w2"].T + p["b2"], target)

    def lstm(p, x):
        def cell(state, x):
            h, c = state
            z = x @ p["weight_ih"].T + p["bias_ih"] + h @ p["weight_hh"].T + p["bias_hh"]
            i, f, g, o = jnp.split(z, 4, -1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            h = jax.nn.sigmoid(o) * jnp.tanh(c)
            return (h, c), h

        zeros = jnp.zeros((x.shape[1], p["weight_hh"].shape[1]))
        return jax.lax.scan(cell, (zeros, zeros), x)[1]

    def character(p, text, target):
        output = lstm(p, p["embedding"][text])
        return log_loss(output.reshape(-1, 256) @ p["w"].T + p["b"], target)

    def layer_norm(p, g):
        x = p["x"]
        centred = x - x.mean(-1, keepdims=True)
        y = centred * jax.lax.rsqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
        return ((y * p["weight"] + p["bias"]) * g).sum()

    losses = {
        "mlp": mlp, "cnn": cnn, "character": character, "layer_norm": layer_norm,
        "embedding": lambda p, indices, g: (p["w"][indices] * g).sum(),
        "cross_entropy": lambda p, target: log_loss(p["x"], target),
        "max_pool": lambda p, g: (pool(p["x"]) * g).sum(),
        "lstm": lambda p: lstm(p, p["x"]).sum(), "lstm_large": lambda p: lstm(p, p["x"]).sum(),
    }  # fmt: skip
    if job == "ctc":
        return None  # optax has it, jax does not
    state = {"m": jax.tree.map(jnp.zeros_like, p), "v": jax.tree.map(jnp.zeros_like, p), "t": jnp.zeros(())}

    def norm_of(g):
        return jnp.sqrt(sum((x**2).sum() for x in jax.tree.leaves(g)))

    def update(p, g, s):
        t = s["t"] + 1
        m = jax.tree.map(lambda m, g: m + 0.1 * (g - m), s["m"], g)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, s["v"], g)
        size, scale = RATE / (1 - 0.9**t), 1 / jnp.sqrt(1 - 0.999**t)
        p = jax.tree.map(lambda p, m, v: p - size * m / (jnp.sqrt(v) * scale + 1e-8), p, m, v)
        return p, {"m": m, "v": v, "t": t}

    def train(p, s, d, g):
        loss = 0.0
        if job != "clip_adam":
            loss, g = jax.value_and_grad(losses[job])(p, **d)
        if job in CLIPPED:
            factor = jnp.minimum(1, 1 / (norm_of(g) + 1e-6))
            g = jax.tree.map(lambda x: x * factor, g)
        if job in (*TRAINED, "clip_adam"):
            p, s = update(p, g, s)
        return p, s, loss, g

    compiled = jax.jit(train, donate_argnums=(0, 1) if job in (*TRAINED, "clip_adam") else ())
    held = {"p": p, "s": state, "g": jax.tree.map(jnp.copy, p) if job == "clip_adam" else None}

    def step():
        held["p"], held["s"], loss, held["gradients"] = jax.block_until_ready(
            compiled(held["p"], held["s"], d, held["g"])
        )
        return float(loss)

    return norm_after(step, lambda: [np.asarray(g) for g in jax.tree.leaves(held["gradients"])])


PEERS = {
    "minigrad": with_minigrad,
    "step": lambda job: with_minigrad(job, "step"),
    "eager": lambda job: with_minigrad(job, None),
    "rounded": lambda job: with_minigrad(job, precision="bfloat16"),
    "torch": with_torch,
    "bfloat16": lambda job: with_torch(job, bfloat16=True),
    "jax": with_jax,
}
