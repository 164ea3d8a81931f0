"""The same LSTM, written with eager operations, in minigrad, PyTorch and HIPS autograd: forward and backward.

    python benchmarks/eager.py [--rounds 5] [--busy]

Gradients of the weights and of the input; float32; (T, B, I, H).
"""

import numpy as np
from side_by_side import main

CASES = [(128, 1, 64, 64), (64, 32, 128, 256)]


def numbers(case):
    T, B, I, H = case
    rng = np.random.default_rng(0)
    k = H**-0.5
    weights = [rng.uniform(-k, k, shape).astype(np.float32) for shape in [(4 * H, I), (4 * H, H), (4 * H,), (4 * H,)]]
    return weights, rng.standard_normal((T, B, I)).astype(np.float32), rng.standard_normal((T, B, H)).astype(np.float32)


def with_minigrad(case):
    import minigrad as mg

    weights, x, cotangent = numbers(case)
    W, U, b, d = leaves = [mg.tensor(w, requires_grad=True) for w in weights]
    X, G = mg.tensor(x, requires_grad=True), mg.tensor(cotangent)

    def step():
        for leaf in (*leaves, X):
            leaf.grad = None
        h = c = mg.tensor(np.zeros(cotangent.shape[1:], np.float32))
        outputs = []
        for x in X:
            i, f, g, o = mg.split(x @ W.T + b + h @ U.T + d, 4, -1)
            c = mg.sigmoid(f) * c + mg.sigmoid(i) * mg.tanh(g)
            h = mg.sigmoid(o) * mg.tanh(c)
            outputs.append(h)
        mg.stack(outputs).backward(G)

    return step


def with_torch(case):
    import torch

    weights, x, cotangent = numbers(case)
    W, U, b, d = leaves = [torch.from_numpy(w).requires_grad_() for w in weights]
    X, G = torch.from_numpy(x).requires_grad_(), torch.from_numpy(cotangent)

    def step():
        for leaf in (*leaves, X):
            leaf.grad = None
        h = c = torch.zeros(cotangent.shape[1:])
        outputs = []
        for x in X.unbind(0):
            i, f, g, o = (x @ W.T + b + h @ U.T + d).chunk(4, -1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            outputs.append(h)
        torch.stack(outputs).backward(G)

    return step


def with_autograd(case):
    import autograd.numpy as np
    from autograd import grad

    weights, x, cotangent = numbers(case)
    H = cotangent.shape[-1]

    def sigmoid(z):
        return 0.5 * (np.tanh(0.5 * z) + 1)

    def loss(leaves):
        W, U, b, d, X = leaves
        h = c = np.zeros(cotangent.shape[1:], np.float32)
        total = 0.0
        for t in range(len(x)):
            z = np.dot(X[t], W.T) + b + np.dot(h, U.T) + d
            i, f, g, o = z[:, :H], z[:, H : 2 * H], z[:, 2 * H : 3 * H], z[:, 3 * H :]
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
            total = total + np.sum(h * cotangent[t])
        return total

    gradient = grad(loss)
    return lambda: gradient((*weights, x))


if __name__ == "__main__":
    main(__doc__, {"minigrad": with_minigrad, "torch": with_torch, "autograd": with_autograd}, CASES)
