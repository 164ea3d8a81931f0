"""Cells that draw, choose or reset: noise and flags come with the input, so that every framework has the same."""

import numpy as np

from zoo.cell import cell, flags, full, normal, uniform, zeros


def gru(xp, x, h, W, U, b):
    """Cho et al. 2014, arXiv:1406.1078, eqs. 5-8."""
    x_r, x_z, x_n = xp.split(x @ W.T + b, 3, axis=-1)
    h_r, h_z, h_n = xp.split(h @ U.T, 3, axis=-1)
    r, z = xp.sigmoid(x_r + h_r), xp.sigmoid(x_z + h_z)
    return (1 - z) * xp.tanh(x_n + r * h_n) + z * h


@cell(smooth=False, x=(normal("I"), uniform("H//2", 0.01, 0.99)), dims={"C": "H//2"}, state=(zeros("H"), zeros("C")),
      W="3*H,I+C", U="3*H,H", b="3*H", W_z="C,H")  # fmt: skip
def gumbel_straight_through(xp, p, x, state):
    """Jang, Gu & Poole 2017, arXiv:1611.01144, eqs. 1-2: a categorical of the state, drawn hard, τ = 0.7."""
    (x, u), (h, z) = x, state
    h = gru(xp, xp.concatenate([x, z], axis=-1), h, p.W, p.U, p.b)
    soft = xp.softmax((h @ p.W_z.T - xp.log(-xp.log(u))) / 0.7, axis=-1)
    hard = xp.like(xp.one_hot(xp.argmax(soft, axis=-1), soft.shape[-1]), soft)
    z = xp.straight_through(hard, soft)
    return xp.concatenate([h, z], axis=-1), (h, z)


@cell(smooth=False, x=(normal("I"), normal("6"), flags("", 0.1), uniform("8,8", 0.01, 0.99)),
      state=(zeros("H"), zeros("64")), W_in="H,64+6", b_in="H", W="3*H,H", U="3*H,H", b="3*H", W_prior="64,H",
      W_post="64,H+I")  # fmt: skip
def recurrent_state_space(xp, p, x, state):
    """Hafner, Lillicrap, Norouzi & Ba 2021, arXiv:2010.02193, eq. 1 and algorithm 1: DreamerV2's RSSM; 8 categoricals
    of 8 classes by straight-through; where an episode begins, state and action are reset."""
    (embedded, action, first, u), (h, z) = x, state
    keep = 1 - xp.like(first, h)[:, None]
    h, z, action = h * keep, z * keep, action * keep
    h = gru(xp, xp.elu(xp.concatenate([z, action], axis=-1) @ p.W_in.T + p.b_in), h, p.W, p.U, p.b)
    prior = (h @ p.W_prior.T).reshape(len(h), 8, 8)
    posterior = (xp.concatenate([h, embedded], axis=-1) @ p.W_post.T).reshape(len(h), 8, 8)
    drawn = xp.argmax(posterior - xp.log(-xp.log(u)), axis=-1)
    z = xp.straight_through(xp.like(xp.one_hot(drawn, 8), h), xp.softmax(posterior, axis=-1)).reshape(len(h), -1)
    log_q, log_p = xp.log_softmax(posterior, axis=-1), xp.log_softmax(prior, axis=-1)
    divergence = xp.sum(xp.exp(log_q) * (log_q - log_p), axis=(1, 2))
    return xp.concatenate([h, z, divergence[:, None]], axis=-1), (h, z)


@cell(x=(normal("I"), flags("", 0.1)), W="3*H,I", U="3*H,H", b="3*H", start="H")
def reset_gru(xp, p, x, h):
    """Kapturowski, Ostrovski, Quan, Munos & Dabney 2019, ICLR (R2D2), section 3: where an episode begins within the
    sequence, the state begins again, here from a learnt one."""
    x, first = x
    h = xp.where(first[:, None], p.start, h)
    h = gru(xp, x, h, p.W, p.U, p.b)
    return h, h


@cell(smooth=False, dims={"K": 24}, state=(zeros("H"), full("", 0)), words="K,I", W="3*H,I", U="3*H,H", b="3*H",
      W_out="K,H", x=normal("I", 0.1))  # fmt: skip
def greedy_decoder(xp, p, x, state):
    """Sutskever, Vinyals & Le 2014, arXiv:1409.3215, section 3: the likeliest word is the next input."""
    h, word = state
    h = gru(xp, x + xp.embedding(p.words, word), h, p.W, p.U, p.b)
    scores = h @ p.W_out.T
    return xp.log_softmax(scores, axis=-1), (h, xp.argmax(scores, axis=-1))


@cell(smooth=False, dims={"K": 16, "D": "H//4"}, state=(zeros("H"), zeros("D")), codes=normal("K,D"), W="3*H,I+D",
      U="3*H,H", b="3*H", W_z="D,H")  # fmt: skip
def vector_quantised(xp, p, x, state):
    """van den Oord, Vinyals & Kavukcuoglu 2017, arXiv:1711.00937, eqs. 1-3: the nearest code is fed back."""
    h, z = state
    h = gru(xp, xp.concatenate([x, z], axis=-1), h, p.W, p.U, p.b)
    e = h @ p.W_z.T
    near = xp.embedding(p.codes, xp.argmin(xp.sum((e[:, None] - p.codes) ** 2, axis=-1), axis=-1))
    z = xp.straight_through(near, e)
    loss = xp.sum((xp.stop_gradient(e) - near) ** 2 + 0.25 * (e - xp.stop_gradient(near)) ** 2, axis=-1, keepdims=True)
    return xp.concatenate([z, loss], axis=-1), (h, z)


@cell(smooth=False, x=(normal("I"), uniform("", 0.0, 1.0)), dims={"K": 16}, state=(zeros("H"), zeros("K")),
      W="3*H,I+K", U="3*H,H", b="3*H", W_pi="K,H", W_v="1,H")  # fmt: skip
def recurrent_policy(xp, p, x, state):
    """Wang et al. 2016, arXiv:1611.05763, section 2: learning to reinforcement learn; an action is drawn, by its
    cumulative distribution, and goes in again."""
    (x, u), (h, action) = x, state
    h = gru(xp, xp.concatenate([x, action], axis=-1), h, p.W, p.U, p.b)
    log_pi = xp.log_softmax(h @ p.W_pi.T, axis=-1)
    below = xp.sum(xp.like(xp.cumsum(xp.stop_gradient(xp.exp(log_pi)), axis=-1) < u[:, None], "int64"), axis=-1)
    action = xp.like(xp.one_hot(xp.minimum(below, log_pi.shape[-1] - 1), log_pi.shape[-1]), h)
    chosen = xp.sum(log_pi * action, axis=-1, keepdims=True)
    return xp.concatenate([h @ p.W_v.T, chosen], axis=-1), (h, action)


@cell(state=(zeros("H"), full("", 0)), W="2*H,I", U="2*H,H", b="2*H", W_out="H,H")
def clockwork_by_counter(xp, p, x, state):
    """Koutnik, Greff, Gomez & Schmidhuber 2014, arXiv:1402.3511, section 3, of gates: each quarter of the units moves
    every 1, 2, 4 or 4 steps, by a counter in the state."""
    h, t = state
    g, n = xp.split(x @ p.W.T + h @ p.U.T + p.b, 2, axis=-1)
    period, t = xp.constant(np.repeat([1, 2, 4, 4], h.shape[-1] // 4), "int64"), t[:, None]
    moves = (period == 1) | ((period == 2) & ((t == 0) | (t == 2))) | (t == 0)
    h = xp.where(moves, h + xp.sigmoid(g) * (xp.tanh(n) - h), h)
    t = t[:, 0]
    return h @ p.W_out.T, (h, xp.where(t == 3, 0 * t, t + 1))


@cell(x=normal("I"), dims={"K": "H//8"}, W="H,I", U="H,H", b="H")
def k_winners(xp, p, x, h):
    """Ahmad & Scheinkman 2019, arXiv:1903.11257, eqs. 1-3: the eighth of the units that are largest, in an RNN."""
    a = h @ p.U.T + x @ p.W.T + p.b
    least = xp.stop_gradient(xp.topk(a, h.shape[-1] // 8)[0][:, -1:])
    h = xp.where(a >= least, xp.tanh(a), 0.0 * a)
    return h, h
