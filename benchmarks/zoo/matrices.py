"""Cells whose state is a matrix, or a vector a channel: linear attention and its kin, state space models."""

from zoo.cell import cell, full, normal, uniform, zeros

HEADS = {"N": 4, "D": "H//4"}


def heads(a, n: int = 4):
    """(B, n D) as (B, n, D)."""
    return a.reshape(len(a), n, -1)


@cell(dims=HEADS, state=(zeros("N,D,D"), zeros("N,D")), W="3*H,I")
def linear_attention(xp, p, x, state):
    """Katharopoulos, Vyas, Pappas & Fleuret 2020, arXiv:2006.16236, eqs. 16-20: transformers are RNNs."""
    S, z = state
    q, k, v = [heads(a) for a in xp.split(x @ p.W.T, 3, axis=-1)]
    q, k = xp.elu(q) + 1, xp.elu(k) + 1
    S = S + k[..., None] * v[..., None, :]
    z = z + k
    y = xp.einsum("bnk,bnkv->bnv", q, S) / xp.sum(q * z, axis=-1, keepdims=True)
    return y.reshape(len(x), -1), (S, z)


@cell(dims=HEADS, state=zeros("N,D,D"), W="3*H,I", W_b="N,I")
def delta_net(xp, p, x, W):
    """Schlag, Irie & Schmidhuber 2021, arXiv:2102.11174, eqs. 20-25: fast weight programmers, the delta rule."""
    q, k, v = [heads(a) for a in xp.split(x @ p.W.T, 3, axis=-1)]
    q, k, beta = xp.softmax(q, axis=-1), xp.softmax(k, axis=-1), xp.sigmoid(x @ p.W_b.T)[..., None]
    old = xp.einsum("bnvk,bnk->bnv", W, k)
    W = W + xp.einsum("bnv,bnk->bnvk", beta * (v - old), k)
    return xp.einsum("bnvk,bnk->bnv", W, q).reshape(len(x), -1), W


@cell(dims=HEADS, state=zeros("N,D,D"), W="3*H,I", W_b="2*N,I", A_log=uniform("N", 0.0, 1.0))
def gated_delta_rule(xp, p, x, S):
    """Yang, Kautz & Hatamizadeh 2025, arXiv:2412.06464, eq. 10."""
    q, k, v = [heads(a) for a in xp.split(x @ p.W.T, 3, axis=-1)]
    q, k = [a / xp.sqrt(xp.sum(a * a, axis=-1, keepdims=True) + 1e-6) for a in (q, k)]
    a, b = xp.split(x @ p.W_b.T, 2, axis=-1)
    alpha, beta = xp.exp(-xp.exp(p.A_log) * xp.softplus(a))[..., None, None], xp.sigmoid(b)[..., None, None]
    S = alpha * (S - beta * (S @ k[..., None]) @ k[..., None, :]) + beta * v[..., None] @ k[..., None, :]
    return (S @ q[..., None]).reshape(len(x), -1), S


@cell(dims=HEADS, state=(zeros("N,D,D"), zeros("N,D"), zeros("N")), W="3*H,I", W_if="2*N,I", b_if="2*N", W_o="H,I")
def mlstm(xp, p, x, state):
    """Beck et al. 2024, arXiv:2405.04517, eqs. 19-27: xLSTM's matrix memory."""
    C, n, m = state
    q, k, v = [heads(a) for a in xp.split(x @ p.W.T, 3, axis=-1)]
    k = k * k.shape[-1] ** -0.5
    i, f = xp.split(x @ p.W_if.T + p.b_if, 2, axis=-1)
    f = xp.log_sigmoid(f) + m
    m = xp.maximum(f, i)
    i, f = xp.exp(i - m)[..., None], xp.exp(f - m)[..., None]
    C = f[..., None] * C + i[..., None] * (v[..., None] * k[..., None, :])
    n = f * n + i * k
    below = xp.maximum(xp.abs(xp.sum(n * q, axis=-1)), xp.exp(-m))[..., None]
    h = xp.einsum("bnvk,bnk->bnv", C, q) / below
    return xp.sigmoid(x @ p.W_o.T) * h.reshape(len(x), -1), (C, n, m)


@cell(state=(zeros("H"), zeros("H,H")), W="H,H", C="H,I", gain=full("H", 1.0), bias=zeros("H"))
def fast_weights(xp, p, x, state):
    """Ba, Hinton, Mnih, Leibo & Ionescu 2016, arXiv:1610.06258, eqs. 1-2 and 5: λ = 0.95, η = 0.5, three inner
    steps."""
    h, A = state
    A = 0.95 * A + 0.5 * xp.einsum("bi,bj->bij", h, h)
    boundary = h @ p.W.T + x @ p.C.T
    h = xp.tanh(boundary)
    for _ in range(3):
        h = xp.tanh(xp.layer_norm(boundary + xp.einsum("bij,bj->bi", A, h), p.gain, p.bias))
    return h, (h, A)


@cell(x=normal("H"), state=(zeros("H"), zeros("H"), zeros("H"), full("H", -1e4)), mu=uniform("3,H"), W_r="H,H",
      W_k="H,H", W_v="H,H", W_o="H,H", w=uniform("H", -2.0, 1.0), u=normal("H"))  # fmt: skip
def rwkv(xp, p, x, state):
    """Peng et al. 2023, arXiv:2305.13048, eqs. 11-16 and, so that nothing overflows, 23-28 of appendix D."""
    before, a, b, m = state
    r, k, v = [(p.mu[j] * x + (1 - p.mu[j]) * before) @ W.T for j, W in enumerate((p.W_r, p.W_k, p.W_v))]
    top = xp.maximum(m, p.u + k)
    old, new = xp.exp(m - top), xp.exp(p.u + k - top)
    y = (xp.sigmoid(r) * (old * a + new * v) / (old * b + new)) @ p.W_o.T
    decayed = m - xp.exp(p.w)
    m = xp.maximum(decayed, k)
    old, new = xp.exp(decayed - m), xp.exp(k - m)
    return y, (x, old * a + new * v, old * b + new, m)


@cell(dims=HEADS, x=normal("H"), state=(zeros("H"), zeros("N,D,D")), mu=uniform("5,H"), W_r="H,H", W_k="H,H",
      W_v="H,H", W_a="H,H", W_w="H,H", w_0=uniform("H", -3.0, 0.0), W_o="H,H", xi=uniform("H"))  # fmt: skip
def rwkv7(xp, p, x, state):
    """Peng et al. 2025, arXiv:2503.14456, eqs. 3-17: the generalised delta rule with a decay a channel."""
    before, S = state
    r, k, v, a, w = [(x + (before - x) * p.mu[j]) @ W.T for j, W in enumerate((p.W_r, p.W_k, p.W_v, p.W_a, p.W_w))]
    w = xp.exp(-0.606531 * xp.sigmoid(p.w_0 + xp.tanh(w)))
    r, k, v, a, w, kappa = [heads(z) for z in (r, k, v, xp.sigmoid(a), w, k * p.xi)]
    kappa = kappa / xp.sqrt(xp.sum(kappa * kappa, axis=-1, keepdims=True) + 1e-6)
    removed = xp.einsum("bnvk,bnk->bnv", S, kappa)[..., None] * (a * kappa)[..., None, :]
    S = S * w[..., None, :] - removed + v[..., None] * k[..., None, :]
    return xp.einsum("bnvk,bnk->bnv", S, r).reshape(len(x), -1) @ p.W_o.T, (x, S)


@cell(dims=HEADS, state=zeros("N,D,D"), W="3*H,I", W_o="H,I", W_y="H,H", gamma=uniform("N", 0.9, 0.99))
def retention(xp, p, x, S):
    """Sun et al. 2023, arXiv:2307.08621, eqs. 6-8: RetNet, the recurrent form, a norm for each head, a gate."""
    q, k, v = [heads(a) for a in xp.split(x @ p.W.T, 3, axis=-1)]
    S = p.gamma[:, None, None] * S + k[..., None] * v[..., None, :]
    y = xp.standardize(xp.einsum("bnk,bnkv->bnv", q, S), axis=-1).reshape(len(x), -1)
    return (xp.silu(x @ p.W_o.T) * y) @ p.W_y.T, S


@cell(dims=HEADS | {"R": "8"}, state=zeros("N,D,D"), W="3*H,I", W_1="R,I", W_2="H,R", b="H")
def gated_linear_attention(xp, p, x, S):
    """Yang, Wang, Shen, Panda & Kim 2024, arXiv:2312.06635, eqs. 3-5: GLA, a forget gate a key channel, τ = 16."""
    q, k, v = [heads(a) for a in xp.split(x @ p.W.T, 3, axis=-1)]
    alpha = heads(xp.sigmoid(x @ p.W_1.T @ p.W_2.T + p.b) ** (1 / 16))
    S = alpha[..., None] * S + k[..., None] * v[..., None, :]
    return xp.einsum("bnk,bnkv->bnv", q, S).reshape(len(x), -1), S


@cell(dims={"N": 16, "R": "8"}, state=(zeros("3,H"), zeros("H,N")), W_in="2*H,I", K=normal("4,H", 0.5), W_B="N,H",
      W_C="N,H", W_1="R,H", W_2="H,R", b=uniform("H", -4.0, -1.0), A_log=uniform("H,N", 0.0, 2.0), D=full("H", 1.0),
      W_out="I,H")  # fmt: skip
def mamba(xp, p, x, state):
    """Gu & Dao 2023, arXiv:2312.00752, algorithm 2 and eq. 2: S6 with its causal convolution of width 4 and its
    gate."""
    window, h = state
    u, gate = xp.split(x @ p.W_in.T, 2, axis=-1)
    window = xp.concatenate([window, u[:, None]], axis=1)
    u = xp.silu(xp.sum(window * p.K, axis=1))
    delta = xp.softplus(u @ p.W_1.T @ p.W_2.T + p.b)[..., None]
    B, C = (u @ p.W_B.T)[:, None], u @ p.W_C.T
    h = xp.exp(-delta * xp.exp(p.A_log)) * h + delta * B * u[..., None]
    y = xp.einsum("bhn,bn->bh", h, C) + p.D * u
    return (y * xp.silu(gate)) @ p.W_out.T, (window[:, 1:], h)


@cell(state=(zeros("H"), zeros("H")), nu_log=uniform("H", -4.0, -1.0), theta_log=uniform("H", -2.0, 1.0), B_re="H,I",
      B_im="H,I", C_re="I,H", C_im="I,H", D="I")  # fmt: skip
def linear_recurrent_unit(xp, p, x, state):
    """Orvieto et al. 2023, arXiv:2303.06349, eqs. 1-2 and 5-7: a complex diagonal, stable by its exponents,
    normalised."""
    re, im = state
    modulus = xp.exp(-xp.exp(p.nu_log))
    a, b = modulus * xp.cos(xp.exp(p.theta_log)), modulus * xp.sin(xp.exp(p.theta_log))
    gamma = xp.sqrt(1 - modulus * modulus)
    re, im = a * re - b * im + gamma * (x @ p.B_re.T), b * re + a * im + gamma * (x @ p.B_im.T)
    return re @ p.C_re.T - im @ p.C_im.T + p.D * x, (re, im)


@cell(x=normal("H"), dims={"N": 8}, state=(zeros("H,N"), zeros("H,N")), log_step=uniform("H", -4.0, -2.0),
      A_log=uniform("H,N", -1.0, 0.0), A_im=uniform("H,N", 0.0, 20.0), C_re=normal("H,N"), C_im=normal("H,N"),
      D="H")  # fmt: skip
def s4d(xp, p, x, state):
    """Gu, Gupta, Goel & Re 2022, arXiv:2206.11893, eqs. 2-3 and listing 1: S4D, zero-order hold, B = 1."""
    re, im = state
    step = xp.exp(p.log_step)[:, None]
    A_re = -xp.exp(p.A_log)
    size, angle = xp.exp(step * A_re), step * p.A_im
    a, b = size * xp.cos(angle), size * xp.sin(angle)
    square = A_re * A_re + p.A_im * p.A_im
    B_re, B_im = ((a - 1) * A_re + b * p.A_im) / square, (b * A_re - (a - 1) * p.A_im) / square
    u = x[..., None]
    re, im = a * re - b * im + B_re * u, b * re + a * im + B_im * u
    return 2 * xp.sum(p.C_re * re - p.C_im * im, axis=-1) + p.D * x, (re, im)


@cell(dims=HEADS, state=zeros("N,D,D"), W="3*H,I", W_eta="N,I", W_0=normal("N,D,D", 0.1), gain=full("N,1,D", 1.0),
      bias=zeros("N,1,D"))  # fmt: skip
def ttt_linear(xp, p, x, change):
    """Sun et al. 2024, arXiv:2407.04620, eqs. 2-5 and section 2.7: TTT-Linear, a step of gradient descent a token."""
    k, v, q = [heads(a)[:, :, None] for a in xp.split(x @ p.W.T, 3, axis=-1)]
    eta = xp.sigmoid(x @ p.W_eta.T)[..., None, None] / k.shape[-1]

    def f(x, W):
        return x + xp.standardize(x @ W, axis=-1) * p.gain + p.bias

    def loss(W):
        return xp.sum((f(k, W) - v) ** 2)

    change = change - eta * xp.grad(loss)(p.W_0 + change)
    return f(q, p.W_0 + change).reshape(len(x), -1), change


@cell(dims=HEADS, state=zeros("N,D,D"), W="3*H,I", b="H")
def hgrn2(xp, p, x, S):
    """Qin et al. 2024, arXiv:2404.07904, eqs. 9-11: gated linear RNN, its state expanded by an outer product."""
    q, f, v = xp.split(x @ p.W.T, 3, axis=-1)
    q, f, v = heads(xp.silu(q)), heads(xp.sigmoid(f + p.b)), heads(v)
    S = f[..., None] * S + (1 - f)[..., None] * v[..., None, :]
    return xp.einsum("bnk,bnkv->bnv", q, S).reshape(len(x), -1), S
