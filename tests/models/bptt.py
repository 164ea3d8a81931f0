"""Backpropagation through time of RNN, LSTM, GRU and ConvLSTM, derived by hand and written out in NumPy.

The loss is L = Σ_t <dy_t, h_t> + <dh, h_T> (+ <dc, c_T>), so dy, dh and dc are its derivatives with respect to every
output and to the final state. Each function takes the parameters `p` by name, the inputs x (T, B, ...), the initial
state and those derivatives. It returns the outputs (T, B, ...), the final state and a dict of gradients: those of the
parameters, of x and of the initial state.

Reading aid: `a_i` is what the gate i squashes; a `d` before a name makes it the derivative of L with respect to it.
"""

import numpy as np

import minigrad as mg


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def zeros_like(p):
    return {name: np.zeros_like(value) for name, value in p.items()}


def rnn(p, x, h0, dy, dh, relu=False):
    T = len(x)
    h = [h0]
    for t in range(T):
        a = x[t] @ p["weight_ih"].T + p["bias_ih"] + h[t] @ p["weight_hh"].T + p["bias_hh"]
        h.append(np.maximum(a, 0) if relu else np.tanh(a))

    d, dx = zeros_like(p), np.zeros_like(x)
    for t in reversed(range(T)):
        dh = dh + dy[t]
        da = dh * (h[t + 1] > 0) if relu else dh * (1 - h[t + 1] ** 2)
        d["weight_ih"] += da.T @ x[t]
        d["weight_hh"] += da.T @ h[t]
        d["bias_ih"] += da.sum(0)
        d["bias_hh"] += da.sum(0)
        dx[t] = da @ p["weight_ih"]
        dh = da @ p["weight_hh"]
    return np.stack(h[1:]), h[T], d | {"x": dx, "h0": dh}


def lstm(p, x, h0, c0, dy, dh, dc):
    T = len(x)
    h, c, gates = [h0], [c0], []
    for t in range(T):
        a = x[t] @ p["weight_ih"].T + p["bias_ih"] + h[t] @ p["weight_hh"].T + p["bias_hh"]
        a_i, a_f, a_g, a_o = np.split(a, 4, axis=-1)
        i, f, g, o = sigmoid(a_i), sigmoid(a_f), np.tanh(a_g), sigmoid(a_o)
        c.append(f * c[t] + i * g)
        h.append(o * np.tanh(c[t + 1]))
        gates.append((i, f, g, o))

    d, dx = zeros_like(p), np.zeros_like(x)
    for t in reversed(range(T)):
        i, f, g, o = gates[t]
        tanh_c = np.tanh(c[t + 1])
        dh = dh + dy[t]
        do = dh * tanh_c
        dc = dc + dh * o * (1 - tanh_c**2)
        di, dg, df = dc * g, dc * i, dc * c[t]
        dc = dc * f
        da = np.concatenate([di * i * (1 - i), df * f * (1 - f), dg * (1 - g**2), do * o * (1 - o)], axis=-1)
        d["weight_ih"] += da.T @ x[t]
        d["weight_hh"] += da.T @ h[t]
        d["bias_ih"] += da.sum(0)
        d["bias_hh"] += da.sum(0)
        dx[t] = da @ p["weight_ih"]
        dh = da @ p["weight_hh"]
    return np.stack(h[1:]), (h[T], c[T]), d | {"x": dx, "h0": dh, "c0": dc}


def gru(p, x, h0, dy, dh):
    """Reset after the product: n = tanh(x W_n + b_n + r (h U_n + b'_n))."""
    T = len(x)
    h, kept = [h0], []
    for t in range(T):
        x_r, x_z, x_n = np.split(x[t] @ p["weight_ih"].T + p["bias_ih"], 3, axis=-1)
        h_r, h_z, h_n = np.split(h[t] @ p["weight_hh"].T + p["bias_hh"], 3, axis=-1)
        r, z = sigmoid(x_r + h_r), sigmoid(x_z + h_z)
        n = np.tanh(x_n + r * h_n)
        h.append((1 - z) * n + z * h[t])
        kept.append((r, z, n, h_n))

    d, dx = zeros_like(p), np.zeros_like(x)
    for t in reversed(range(T)):
        r, z, n, h_n = kept[t]
        dh = dh + dy[t]
        dn, dz = dh * (1 - z), dh * (h[t] - n)
        da_n = dn * (1 - n**2)
        dr = da_n * h_n
        da_r, da_z = dr * r * (1 - r), dz * z * (1 - z)
        from_x = np.concatenate([da_r, da_z, da_n], axis=-1)
        from_h = np.concatenate([da_r, da_z, da_n * r], axis=-1)  # h U_n stands inside the product with r
        d["weight_ih"] += from_x.T @ x[t]
        d["weight_hh"] += from_h.T @ h[t]
        d["bias_ih"] += from_x.sum(0)
        d["bias_hh"] += from_h.sum(0)
        dx[t] = from_x @ p["weight_ih"]
        dh = dh * z + from_h @ p["weight_hh"]
    return np.stack(h[1:]), h[T], d | {"x": dx, "h0": dh}


def gru_reset_before(p, x, h0, dy, dh):
    """Reset before the product, one bias: n = tanh(x W_n + b_n + (r h) U_n)."""
    T = len(x)
    U_r, U_z, U_n = np.split(p["weight_hh"], 3)
    h, kept = [h0], []
    for t in range(T):
        x_r, x_z, x_n = np.split(x[t] @ p["weight_ih"].T + p["bias_ih"], 3, axis=-1)
        r, z = sigmoid(x_r + h[t] @ U_r.T), sigmoid(x_z + h[t] @ U_z.T)
        n = np.tanh(x_n + (r * h[t]) @ U_n.T)
        h.append((1 - z) * n + z * h[t])
        kept.append((r, z, n))

    d, dx = zeros_like(p), np.zeros_like(x)
    for t in reversed(range(T)):
        r, z, n = kept[t]
        dh = dh + dy[t]
        dn, dz = dh * (1 - z), dh * (h[t] - n)
        da_n, da_z = dn * (1 - n**2), dz * z * (1 - z)
        d_rh = da_n @ U_n
        da_r = d_rh * h[t] * r * (1 - r)
        da = np.concatenate([da_r, da_z, da_n], axis=-1)
        d["weight_ih"] += da.T @ x[t]
        d["weight_hh"] += np.concatenate([da_r.T @ h[t], da_z.T @ h[t], da_n.T @ (r * h[t])])
        d["bias_ih"] += da.sum(0)
        dx[t] = da @ p["weight_ih"]
        dh = dh * z + d_rh * r + da_r @ U_r + da_z @ U_z
    return np.stack(h[1:]), h[T], d | {"x": dx, "h0": dh}


def conv(x, W):
    """'Same' convolution (as networks mean it: correlation) of (B, I, R, C) with (O, I, k, k), k odd."""
    k, (rows, columns) = W.shape[-1], x.shape[-2:]
    padded = np.pad(x, [(0, 0), (0, 0), (k // 2, k // 2), (k // 2, k // 2)])
    return sum(
        np.einsum("birc,oi->borc", padded[:, :, u : u + rows, v : v + columns], W[:, :, u, v])
        for u in range(k)
        for v in range(k)
    )


def conv_pulled_to_x(g, W):
    """Pixel p went to p - offset times W(offset); so it gets back from there, that is, through the flipped kernel."""
    return conv(g, W[:, :, ::-1, ::-1].swapaxes(0, 1))


def conv_pulled_to_weight(g, x, k):
    rows, columns = x.shape[-2:]
    padded = np.pad(x, [(0, 0), (0, 0), (k // 2, k // 2), (k // 2, k // 2)])
    d = np.empty((g.shape[1], x.shape[1], k, k))
    for u in range(k):
        for v in range(k):
            d[:, :, u, v] = np.einsum("borc,birc->oi", g, padded[:, :, u : u + rows, v : v + columns])
    return d


def convlstm(p, x, h0, c0, dy, dh, dc):
    """Shi et al. 2015, with peepholes where p has weight_ci, weight_cf, weight_co. i and f see the old c, o the new."""
    T, k = len(x), p["weight_ih"].shape[-1]
    W_ci, W_cf, W_co = [p.get(name, 0) for name in ("weight_ci", "weight_cf", "weight_co")]
    h, c, gates = [h0], [c0], []
    for t in range(T):
        a = conv(x[t], p["weight_ih"]) + conv(h[t], p["weight_hh"]) + p["bias"][:, None, None]
        a_i, a_f, a_g, a_o = np.split(a, 4, axis=1)
        i, f, g = sigmoid(a_i + W_ci * c[t]), sigmoid(a_f + W_cf * c[t]), np.tanh(a_g)
        c.append(f * c[t] + i * g)
        o = sigmoid(a_o + W_co * c[t + 1])
        h.append(o * np.tanh(c[t + 1]))
        gates.append((i, f, g, o))

    d, dx = zeros_like(p), np.zeros_like(x)
    for t in reversed(range(T)):
        i, f, g, o = gates[t]
        tanh_c = np.tanh(c[t + 1])
        dh = dh + dy[t]
        da_o = dh * tanh_c * o * (1 - o)
        dc = dc + dh * o * (1 - tanh_c**2) + da_o * W_co
        da_i, da_f, da_g = dc * g * i * (1 - i), dc * c[t] * f * (1 - f), dc * i * (1 - g**2)
        if "weight_ci" in p:
            d["weight_ci"] += (da_i * c[t]).sum(0)
            d["weight_cf"] += (da_f * c[t]).sum(0)
            d["weight_co"] += (da_o * c[t + 1]).sum(0)
        dc = dc * f + da_i * W_ci + da_f * W_cf
        da = np.concatenate([da_i, da_f, da_g, da_o], axis=1)
        d["weight_ih"] += conv_pulled_to_weight(da, x[t], k)
        d["weight_hh"] += conv_pulled_to_weight(da, h[t], k)
        d["bias"] += da.sum((0, 2, 3))
        dx[t] = conv_pulled_to_x(da, p["weight_ih"])
        dh = conv_pulled_to_x(da, p["weight_hh"])
    return np.stack(h[1:]), (h[T], c[T]), d | {"x": dx, "h0": dh, "c0": dc}


def assert_layer_agrees(layer, derived, x, *initial, rng):
    """Outputs, final state and every gradient of a one-layer module are those of a derivation above, to 1e-10.

    x: array (T, B, ...); initial: the arrays of the initial state, (B, H, ...) each.
    """
    layer = layer.astype("float64")
    p = {name.removesuffix("_l0"): parameter.numpy() for name, parameter in layer.named_parameters()}
    cotangents = [rng.normal(size=(len(x), *initial[0].shape)), *[rng.normal(size=s.shape) for s in initial]]
    y, state, d = derived(p, x, *initial, *cotangents)

    x = mg.tensor(x, requires_grad=True)
    initial = [mg.tensor(s[None], requires_grad=True) for s in initial]
    output, final = layer(x, initial[0] if len(initial) == 1 else tuple(initial))
    finals = final if isinstance(final, tuple) else (final,)
    sum((part * g).sum() for part, g in zip((output, *finals), cotangents)).backward()

    def agree(got, wanted, what):
        np.testing.assert_allclose(got.numpy(), wanted, rtol=1e-10, atol=1e-10, err_msg=what)

    agree(output, y, "output")
    for k, (got, wanted) in enumerate(zip(finals, state if isinstance(state, tuple) else (state,), strict=True)):
        agree(got[0], wanted, f"final state {k}")
    for name, parameter in layer.named_parameters():
        agree(parameter.grad, d.pop(name.removesuffix("_l0")), f"gradient of {name}")
    agree(x.grad, d.pop("x"), "gradient of x")
    for name, got in zip(("h0", "c0"), initial):
        agree(got.grad[0], d.pop(name), f"gradient of {name}")
    assert not d
