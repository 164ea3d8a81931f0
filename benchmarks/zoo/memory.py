"""Cells with a memory beside their state: tapes, stacks, slots, and attention over them."""

import numpy as np

from zoo.cell import cell, full, normal, zeros


def lstm(xp, x, h, c, W, b):
    """Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000: the controller of the memories here."""
    i, f, g, o = xp.split(xp.concatenate([x, h], axis=-1) @ W.T + b, 4, axis=-1)
    c = xp.sigmoid(f) * c + xp.sigmoid(i) * xp.tanh(g)
    return xp.sigmoid(o) * xp.tanh(c), c


def cosine(xp, M, k):
    """Of each row of M (B, N, W) with k (B, W)."""
    size = xp.sqrt(xp.sum(M * M, axis=-1) * xp.sum(k * k, axis=-1, keepdims=True) + 1e-6)
    return xp.einsum("bnw,bw->bn", M, k) / size


@cell(dims={"N": 32, "M": 16}, state=(zeros("H"), zeros("H"), normal("N,M", 0.1), full("2,N", 1 / 32), zeros("M")),
      W="4*H,I+M+H", b="4*H", W_head="2*(M+6),H", b_head="2*(M+6)", W_write="2*M,H", W_y="H,H+M")  # fmt: skip
def neural_turing_machine(xp, p, x, state):
    """Graves, Wayne & Danihelka 2014, arXiv:1410.5401, eqs. 2-9: one head reads, one writes."""
    h, c, memory, attention, read = state
    h, c = lstm(xp, xp.concatenate([x, read], axis=-1), h, c, p.W, p.b)
    heads, weights = xp.split(h @ p.W_head.T + p.b_head, 2, axis=-1), []
    for k, a in enumerate(heads):
        M = memory.shape[-1]
        beta, g, gamma = (
            xp.softplus(a[:, M : M + 1]),
            xp.sigmoid(a[:, M + 1 : M + 2]),
            1 + xp.softplus(a[:, M + 2 : M + 3]),
        )
        shift = xp.softmax(a[:, M + 3 :], axis=-1)
        w = xp.softmax(beta * cosine(xp, memory, xp.tanh(a[:, :M])), axis=-1)
        w = g * w + (1 - g) * attention[:, k]
        w = sum(shift[:, j + 1 : j + 2] * xp.roll(w, j, -1) for j in (-1, 0, 1))
        w = (w + 1e-6) ** gamma
        weights.append(w / xp.sum(w, axis=-1, keepdims=True))
    reading, writing = weights
    erase, add = xp.split(h @ p.W_write.T, 2, axis=-1)
    memory = memory * (1 - writing[..., None] * xp.sigmoid(erase)[:, None]) + writing[..., None] * xp.tanh(add)[:, None]
    read = xp.einsum("bn,bnm->bm", reading, memory)
    return xp.concatenate([h, read], axis=-1) @ p.W_y.T, (h, c, memory, xp.stack(weights, axis=1), read)


@cell(dims={"N": 16, "M": 16}, state=(zeros("H"), zeros("H"), zeros("N,M"), zeros("N"), zeros("N"), zeros("N"),
      zeros("N,N"), zeros("N"), zeros("M")), W="4*H,I+M+H", b="4*H", W_interface="4*M+8,H", b_interface="4*M+8",
      W_y="H,H+M")  # fmt: skip
def differentiable_neural_computer(xp, p, x, state):
    """Graves et al. 2016, Nature 538, methods: usage, allocation by sorting, temporal links; one head reads."""
    h, c, M, usage, w_write, precedence, link, w_read, read = state
    h, c = lstm(xp, xp.concatenate([x, read], axis=-1), h, c, p.W, p.b)
    a, W = h @ p.W_interface.T + p.b_interface, M.shape[-1]
    k_write, erase, v, k_read = [a[:, j * W : (j + 1) * W] for j in range(4)]
    free, allocate, write = [xp.sigmoid(a[:, 4 * W + j : 4 * W + j + 1]) for j in range(3)]
    b_write, b_read = [1 + xp.softplus(a[:, 4 * W + j : 4 * W + j + 1]) for j in (3, 4)]
    modes = xp.softmax(a[:, 4 * W + 5 :], axis=-1)
    usage = (usage + w_write - usage * w_write) * (1 - free * w_read)
    order = xp.argsort(usage, axis=-1)
    least = xp.take_along_axis(usage, order, axis=-1)
    before = xp.concatenate([xp.ones_like(least[:, :1]), xp.cumprod(least, axis=-1)[:, :-1]], axis=-1)
    allocation = xp.take_along_axis((1 - least) * before, xp.argsort(order, axis=-1), axis=-1)
    content = xp.softmax(b_write * cosine(xp, M, k_write), axis=-1)
    w_write = write * (allocate * allocation + (1 - allocate) * content)
    M = M * (1 - w_write[..., None] * xp.sigmoid(erase)[:, None]) + w_write[..., None] * v[:, None]
    link = (1 - w_write[:, :, None] - w_write[:, None]) * link + w_write[:, :, None] * precedence[:, None]
    link = link * (1 - xp.constant(np.eye(link.shape[-1]), link))
    precedence = (1 - xp.sum(w_write, axis=-1, keepdims=True)) * precedence + w_write
    forward, backward = xp.einsum("bij,bj->bi", link, w_read), xp.einsum("bij,bi->bj", link, w_read)
    content = xp.softmax(b_read * cosine(xp, M, k_read), axis=-1)
    w_read = modes[:, :1] * backward + modes[:, 1:2] * content + modes[:, 2:] * forward
    read = xp.einsum("bn,bnm->bm", w_read, M)
    y = xp.concatenate([h, read], axis=-1) @ p.W_y.T
    return y, (h, c, M, usage, w_write, precedence, link, w_read, read)


@cell(dims={"K": 32}, patterns="K,H", W="H,I", U="H,H", b="H")
def hopfield(xp, p, x, h):
    """Ramsauer et al. 2021, arXiv:2008.02217, eq. 3: three updates of a modern Hopfield network, β = 4, in an RNN."""
    state = xp.tanh(x @ p.W.T + h @ p.U.T + p.b)
    for _ in range(3):
        state = xp.softmax(4.0 * state @ p.patterns.T, axis=-1) @ p.patterns
    h = 0.5 * h + 0.5 * state
    return h, h


@cell(dims={"D": "H//4"}, state=(zeros("H"), zeros("12,D"), zeros("12")), W="H,I", U="H,H", R="H,D", b="H",
      W_a="3,H", b_a="3", W_d="D,H")  # fmt: skip
def neural_stack(xp, p, x, state):
    """Grefenstette, Hermann, Suleyman & Blunsom 2015, arXiv:1506.02516, eqs. 1-3: a stack of strengths, the 12
    newest."""
    h, V, s = state
    strength = xp.flip(s, -1)
    above = xp.flip(xp.cumsum(strength, axis=-1) - strength, -1)
    read = xp.einsum("bn,bnd->bd", xp.minimum(s, xp.relu(1 - above)), V)
    h = xp.tanh(x @ p.W.T + h @ p.U.T + read @ p.R.T + p.b)
    push, pop, out = xp.split(xp.sigmoid(h @ p.W_a.T + p.b_a), 3, axis=-1)
    s = xp.relu(s - xp.relu(pop - above))
    V = xp.concatenate([V[:, 1:], xp.tanh(h @ p.W_d.T)[:, None]], axis=1)
    s = xp.concatenate([s[:, 1:], push], axis=1)
    return out * h, (h, V, s)


@cell(dims={"D": "H//8"}, state=(zeros("H"), zeros("16,D")), U="H,I", R="H,H", P="H,D", A="3,H", D="D,H")
def stack_rnn(xp, p, x, state):
    """Joulin & Mikolov 2015, arXiv:1503.01007, eqs. 3-6: push, pop or stand still; 16 places deep."""
    h, s = state
    h = xp.sigmoid(x @ p.U.T + h @ p.R.T + s[:, 0] @ p.P.T)
    push, pop, stay = [a[..., None] for a in xp.split(xp.softmax(h @ p.A.T, axis=-1), 3, axis=-1)]
    top = xp.sigmoid(h @ p.D.T)[:, None]
    down, up = xp.concatenate([top, s[:, :-1]], axis=1), xp.pad(s[:, 1:], ((0, 0), (0, 1), (0, 0)))
    return h, (h, push * down + pop * up + stay * s)


@cell(dims={"N": 16}, state=(zeros("N,H"), zeros("N,H"), zeros("H")), W="4*H,I", U="4*H,H", b="4*H", W_h="H,H",
      W_x="H,I", W_r="H,H", v="H")  # fmt: skip
def lstm_network(xp, p, x, state):
    """Cheng, Dong & Lapata 2016, arXiv:1601.06733, eqs. 4-9: LSTMN, attention over its own 16 last states."""
    tape_h, tape_c, read = state
    scores = xp.tanh(tape_h @ p.W_h.T + (x @ p.W_x.T + read @ p.W_r.T)[:, None]) @ p.v
    weights = xp.softmax(scores, axis=-1)
    read, c = xp.einsum("bn,bnh->bh", weights, tape_h), xp.einsum("bn,bnh->bh", weights, tape_c)
    i, f, g, o = xp.split(x @ p.W.T + read @ p.U.T + p.b, 4, axis=-1)
    c = xp.sigmoid(f) * c + xp.sigmoid(i) * xp.tanh(g)
    h = xp.sigmoid(o) * xp.tanh(c)
    tape_h = xp.concatenate([tape_h[:, 1:], h[:, None]], axis=1)
    return h, (tape_h, xp.concatenate([tape_c[:, 1:], c[:, None]], axis=1), read)


@cell(dims={"N": 4, "D": "H//4"}, state=normal("N,D", 0.3), W_x="D,I", W_q="D,D", W_k="D,D", W_v="D,D", W_m="D,D",
      b="D", W_g="2,D,D", U_g="2,D,D")  # fmt: skip
def relational_memory(xp, p, x, M):
    """Santoro et al. 2018, arXiv:1806.01822, eqs. 2-8: slots attend to each other and to the input; two heads."""
    x = (x @ p.W_x.T)[:, None]
    both = xp.concatenate([M, x], axis=1)
    q, k, v = [
        xp.swapaxes(a.reshape(len(a), a.shape[1], 2, -1), 1, 2) for a in (M @ p.W_q.T, both @ p.W_k.T, both @ p.W_v.T)
    ]
    attended = xp.softmax(q @ xp.swapaxes(k, -1, -2) * q.shape[-1] ** -0.5, axis=-1) @ v
    new = xp.standardize(M + xp.swapaxes(attended, 1, 2).reshape(*M.shape), axis=-1)
    new = xp.standardize(new + xp.relu(new @ p.W_m.T + p.b), axis=-1)
    i, f = [xp.sigmoid(x @ p.W_g[k].T + xp.tanh(M) @ p.U_g[k].T + k) for k in (0, 1)]
    M = i * xp.tanh(new) + f * M
    return M.reshape(len(M), -1), M


@cell(dims={"K": 6, "D": "H//4", "A": "H//8"}, state=zeros("K,D"), W_q="K,D,A", W_k="I,A", W_v="I,D",
      W="K,D,3*(H//4)", U="K,D,3*(H//4)", b="K,3*(H//4)")  # fmt: skip
def independent_mechanisms(xp, p, x, h):
    """Goyal et al. 2021, arXiv:1909.10893, eqs. 1-4: RIMs, the four of six GRUs that attend most to the input move."""
    q = xp.einsum("bkd,kda->bka", h, p.W_q)
    scores = xp.einsum("bka,ba->bk", q, x @ p.W_k) * q.shape[-1] ** -0.5
    attention = xp.sigmoid(scores)  # a softmax over the input and a null input of zeros
    least = xp.topk(scores, 4)[0][:, -1:]
    active = xp.stop_gradient(scores) >= xp.stop_gradient(least)
    read = attention[..., None] * (x @ p.W_v)[:, None]
    a, r = xp.einsum("bkd,kde->bke", read, p.W), xp.einsum("bkd,kde->bke", h, p.U)
    D = h.shape[-1]
    both = xp.sigmoid((a + r + p.b)[..., : 2 * D])
    reset, update = both[..., :D], both[..., D:]
    new = xp.tanh(a[..., 2 * D :] + reset * r[..., 2 * D :] + p.b[:, 2 * D :])
    h = xp.where(active[..., None], (1 - update) * new + update * h, h)
    return h.reshape(len(h), -1), h


@cell(dims={"K": 5, "D": "H//4"}, state=normal("K,D", 0.3), keys="K,D", W_x="D,I", U="D,D", V="D,D", W="D,D",
      slope=full("1", 0.25))  # fmt: skip
def entity_network(xp, p, x, h):
    """Henaff, Weston, Szlam, Bordes & LeCun 2017, arXiv:1612.03969, eqs. 2-5: slots with keys, gated by content."""
    s = (x @ p.W_x.T)[:, None]
    gate = xp.sigmoid(xp.sum(s * h + s * p.keys, axis=-1, keepdims=True))
    new = h @ p.U.T + p.keys @ p.V.T + s @ p.W.T
    h = h + gate * (xp.relu(new) - p.slope * xp.relu(-new))
    h = h / xp.sqrt(xp.sum(h * h, axis=-1, keepdims=True) + 1e-6)
    return h.reshape(len(h), -1), h


@cell(dims={"N": 24, "D": "H//4"}, state=(zeros("H"), normal("N,D", 0.3), zeros("D")), W="H,I", U="H,H", R="H,D",
      b="H", W_q="D,H", W_a="D,H", W_g="1,H")  # fmt: skip
def sparse_access_memory(xp, p, x, state):
    """Rae et al. 2016, arXiv:1610.09027, eqs. 1-4: the four nearest of 24 words are read, and written to."""
    h, M, read = state
    h = xp.tanh(x @ p.W.T + h @ p.U.T + read @ p.R.T + p.b)
    best, places = xp.topk(xp.einsum("bnd,bd->bn", M, h @ p.W_q.T), 4)
    weights = xp.softmax(best, axis=-1)
    words = xp.take_along_axis(M, xp.broadcast_to(places[..., None], (len(x), 4, M.shape[2])), axis=1)
    read = xp.einsum("bk,bkd->bd", weights, words)
    amount = xp.sigmoid(h @ p.W_g.T) * weights
    where = xp.sum(xp.like(xp.one_hot(places, M.shape[1]), M) * amount[..., None], axis=1)
    M = M + where[..., None] * xp.tanh(h @ p.W_a.T)[:, None]
    return xp.concatenate([h, read], axis=-1), (h, M, read)
