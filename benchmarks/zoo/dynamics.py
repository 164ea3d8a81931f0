"""Cells that are dynamical systems: solvers of differential equations, oscillators, orthogonal matrices, spikes."""

import numpy as np

from zoo.cell import cell, full, normal, uniform, zeros


@cell(W="H,H", U="H,I", b="H", A="H", tau=full("H", 1.0))
def liquid_time_constant(xp, p, x, h):
    """Hasani, Lechner, Amini, Rus & Grosu 2021, arXiv:2006.04439, eq. 3 and algorithm 1: six fused steps of 1/6."""
    injected = x @ p.U.T + p.b
    for _ in range(6):
        f = xp.sigmoid(h @ p.W.T + injected)
        h = (h + f * p.A / 6) / (1 + (1 / p.tau + f) / 6)
    return h, h


@cell(x=normal("8"), dims={"N": "H//4"}, state=zeros("N"), w=uniform("N,N", 0.01, 1.0), mu=uniform("N,N", 0.3, 0.8),
      sigma=uniform("N,N", 3.0, 8.0), E=uniform("N,N", -1.0, 1.0), w_in=uniform("8,N", 0.01, 1.0),
      mu_in=uniform("8,N", 0.3, 0.8), sigma_in=uniform("8,N", 3.0, 8.0), E_in=uniform("8,N", -1.0, 1.0),
      g=full("N", 0.2), v_leak=uniform("N", -0.2, 0.2), C=full("N", 0.5))  # fmt: skip
def neural_circuit(xp, p, x, v):
    """Lechner, Hasani, Amini, Henzinger, Rus & Grosu 2020, Nature Machine Intelligence 2, eqs. 1-4: a synapse a pair of
    neurons, sigmoid in the membrane potential; six semi-implicit steps."""
    sensed = p.w_in * xp.sigmoid(p.sigma_in * (x[:, :, None] - p.mu_in))
    current, conductance = xp.sum(sensed * p.E_in, axis=1), xp.sum(sensed, axis=1)
    for _ in range(6):
        synapses = p.w * xp.sigmoid(p.sigma * (v[:, :, None] - p.mu))
        over = 6 * p.C * v + p.g * p.v_leak + xp.sum(synapses * p.E, axis=1) + current
        v = over / (6 * p.C + p.g + xp.sum(synapses, axis=1) + conductance)
    return v, v


@cell(x=(normal("I"), uniform("1")), W="H,H+I", b="H", W_g="H,H", W_h="H,H", W_f="H,H", b_f="H")
def closed_form_continuous(xp, p, x, h):
    """Hasani, Lechner, Amini, Liebenwein et al. 2022, arXiv:2106.13898, eq. 10: CfC, time constants without a
    solver."""
    x, t = x
    backbone = 1.7159 * xp.tanh(0.666 * (xp.concatenate([x, h], axis=-1) @ p.W.T + p.b))
    gate = xp.sigmoid(-(backbone @ p.W_f.T + p.b_f) * t)
    h = gate * xp.tanh(backbone @ p.W_g.T) + (1 - gate) * xp.tanh(backbone @ p.W_h.T)
    return h, h


@cell(x=(normal("I"), uniform("1")), W_1="H,H", b_1="H", W_2="H,H", b_2="H", W="2*H,I", U="2*H,H", b="2*H",
      W_n="H,I", U_n="H,H")  # fmt: skip
def ode_rnn(xp, p, x, h):
    """Rubanova, Chen & Duvenaud 2019, arXiv:1907.03907, algorithm 1: between observations an ODE (two steps of RK4;
    Chen et al. 2018, arXiv:1806.07366), at each a GRU."""
    x, t = x

    def slope(h):
        return xp.tanh(h @ p.W_1.T + p.b_1) @ p.W_2.T + p.b_2

    for _ in range(2):
        k1 = slope(h)
        k2 = slope(h + t / 4 * k1)
        k3 = slope(h + t / 4 * k2)
        k4 = slope(h + t / 2 * k3)
        h = h + t / 12 * (k1 + 2 * k2 + 2 * k3 + k4)
    r, z = xp.split(xp.sigmoid(x @ p.W.T + h @ p.U.T + p.b), 2, axis=-1)
    h = (1 - z) * xp.tanh(x @ p.W_n.T + (r * h) @ p.U_n.T) + z * h
    return h, h


@cell(state=(zeros("H"), zeros("H")), W="H,H", W_z="H,H", V="H,I", b="H")
def coupled_oscillators(xp, p, x, state):
    """Rusch & Mishra 2021, arXiv:2010.00951, eq. 3: coRNN, Δt = 0.042, γ = 2.7, ε = 4.7."""
    y, z = state
    z = z + 0.042 * (xp.tanh(y @ p.W.T + z @ p.W_z.T + x @ p.V.T + p.b) - 2.7 * y - 4.7 * z)
    y = y + 0.042 * z
    return y, (y, z)


@cell(state=(zeros("H"), zeros("H")), W="3*H,H", V="3*H,I", b="3*H", W_y="H,H", V_y="H,I", b_y="H")
def long_expressive_memory(xp, p, x, state):
    """Rusch, Mishra, Erichson & Mahoney 2022, arXiv:2110.04744, eq. 3: LEM, Δt = 1."""
    y, z = state
    dt, dt_bar, n = xp.split(y @ p.W.T + x @ p.V.T + p.b, 3, axis=-1)
    dt, dt_bar = xp.sigmoid(dt), xp.sigmoid(dt_bar)
    z = (1 - dt) * z + dt * xp.tanh(n)
    y = (1 - dt_bar) * y + dt_bar * xp.tanh(z @ p.W_y.T + x @ p.V_y.T + p.b_y)
    return y, (y, z)


@cell(W="H,H", V_h="H,I", b_h="H", V_z="H,I", b_z="H")
def antisymmetric_rnn(xp, p, x, h):
    """Chang, Chen, Haber & Chi 2019, arXiv:1902.09689, eq. 12: gated, ε = 0.1, γ = 0.01."""
    a = h @ (p.W - p.W.T).T - 0.01 * h
    z = xp.sigmoid(a + x @ p.V_z.T + p.b_z)
    h = h + 0.1 * z * xp.tanh(a + x @ p.V_h.T + p.b_h)
    return h, h


def legendre(order: int) -> tuple:
    """A and B of the LMU's memory of a window of 32 steps, Voelker et al. 2019, eqs. 2 and 4, discretised by Euler."""
    i, j = np.mgrid[:order, :order]
    A = (2 * i + 1) * np.where(i < j, -1.0, (-1.0) ** (i - j + 1)) / 32
    B = (2 * np.arange(order) + 1) * (-1.0) ** np.arange(order) / 32
    return np.eye(order) + A, B


@cell(state=(zeros("H"), zeros("12")), e_x="I", e_h="H", e_m="12", W_x="H,I", W_h="H,H", W_m="H,12")
def legendre_memory_unit(xp, p, x, state):
    """Voelker, Kajic & Eliasmith 2019, NeurIPS, eqs. 4-7: LMU, a window of the past in Legendre polynomials."""
    h, m = state
    A, B = [xp.constant(a, h) for a in legendre(12)]
    u = xp.sum(x * p.e_x, axis=-1) + xp.sum(h * p.e_h, axis=-1) + xp.sum(m * p.e_m, axis=-1)
    m = m @ A.T + u[:, None] * B
    h = xp.tanh(x @ p.W_x.T + h @ p.W_h.T + m @ p.W_m.T)
    return h, (h, m)


def scaled_legendre(order: int) -> tuple:
    """A and B of HiPPO-LegS, eq. 29."""
    i, j = np.mgrid[:order, :order]
    root = np.sqrt((2 * i + 1) * (2 * j + 1))
    return np.where(i > j, root, np.where(i == j, i + 1.0, 0.0)), np.sqrt(2 * np.arange(order) + 1.0)


@cell(state=(zeros("H"), zeros("16"), full("", 0)), W="2*H,I+16", U="2*H,H", b="2*H", w="H")
def hippo(xp, p, x, state):
    """Gu, Dao, Ermon, Rudra & Re 2020, arXiv:2008.07669, theorem 2 and eq. 4: a gated RNN that reads the history of a
    feature of its own; the step's number, an integer, is in the state."""
    h, c, k = state
    A, B = [xp.constant(a, h) for a in scaled_legendre(16)]
    g, n = xp.split(xp.concatenate([x, c], axis=-1) @ p.W.T + h @ p.U.T + p.b, 2, axis=-1)
    g = xp.sigmoid(g)
    h = (1 - g) * h + g * xp.tanh(n)
    k = k + 1
    step = 1.0 / (xp.like(k, h)[:, None] + 16.0)  # 16: at its first steps Euler's method would not be stable
    c = c - step * (c @ A.T) + step * xp.sum(h * p.w, axis=-1, keepdims=True) * B
    return h, (h, c, k)


@cell(A="H,H", D=full("H", 1.0), V="H,I", b="H")
def scaled_cayley(xp, p, x, h):
    """Helfrich, Willmott & Ye 2018, arXiv:1707.09520, eqs. 2-3: scoRNN, an orthogonal matrix by Cayley's transform."""
    skew, eye = xp.tril(p.A) - xp.tril(p.A).T, xp.constant(np.eye(h.shape[-1]), h)
    W = xp.solve(eye + skew, eye - skew) * p.D
    z = h @ W.T + x @ p.V.T
    h = xp.sign(z) * xp.relu(xp.abs(z) + p.b)
    return h, h


@cell(W="H,I", theta=uniform("4,H//2", -3.0, 3.0), b="H")
def rotations(xp, p, x, h):
    """Jing et al. 2017, arXiv:1612.05231, eqs. 6-8 and 12: EUNN, rotations of pairs of neurons (FFT style: neighbours,
    then a permutation), real as in Jing et al. 2017, arXiv:1706.02761; modReLU."""
    H = h.shape[-1]
    perm = np.arange(H).reshape(2, H // 2).T.reshape(H)
    for k in range(4):
        even, odd, cos, sin = h[:, ::2], h[:, 1::2], xp.cos(p.theta[k]), xp.sin(p.theta[k])
        h = xp.stack([even * cos - odd * sin, even * sin + odd * cos], axis=-1).reshape(len(h), H)[:, perm]
    z = h + x @ p.W.T
    h = xp.sign(z) * xp.relu(xp.abs(z) + p.b)
    return h, h


@cell(W="H,H", U="H,I", b="H", W_out="H,H", tau=uniform("H", 1.0, 4.0))
def continuous_time_rnn(xp, p, x, h):
    """Funahashi & Nakamura 1993, Neural Networks 6, eq. 1; Heun's method, two steps of 0.5."""
    for _ in range(2):
        k1 = (xp.tanh(h) @ p.W.T + x @ p.U.T + p.b - h) / p.tau
        k2 = (xp.tanh(h + 0.5 * k1) @ p.W.T + x @ p.U.T + p.b - h - 0.5 * k1) / p.tau
        h = h + 0.25 * (k1 + k2)
    return xp.tanh(h) @ p.W_out.T, h


def spike(xp, v):
    """1 where v > 0; its derivative is declared to be 0.3 max(0, 1 - |v|) (Bellec et al. 2018)."""

    def pull(v, g):
        return (0.3 * g * xp.relu(1 - xp.abs(v)),)

    return xp.custom_vjp(lambda v: (xp.like(v > 0, v), v), pull)(v)


@cell(smooth=False, state=(zeros("H"), zeros("H")), W_in=normal("H,I", 0.3), W_rec="H,H")
def leaky_integrate_and_fire(xp, p, x, state):
    """Neftci, Mostafa & Zenke 2019, arXiv:1901.09948, eqs. 4-6: spikes, surrogate gradient, α = 0.9, reset by the
    spike."""
    current, v = state
    z = spike(xp, v - 1.0)
    current = 0.9 * current + x @ p.W_in.T + z @ p.W_rec.T
    v = (0.95 * v + current) * (1 - xp.stop_gradient(z))
    return z, (current, v)


@cell(smooth=False, state=(zeros("H"), zeros("H"), zeros("H")), W_in=normal("H,I", 0.3), W_rec="H,H")
def adaptive_spiking(xp, p, x, state):
    """Bellec, Salaj, Subramoney, Legenstein & Maass 2018, arXiv:1803.09574, eqs. 1-3: LSNN, a threshold that rises."""
    z, v, b = state
    v = 0.95 * v + 0.05 * (20 * (x @ p.W_in.T + z @ p.W_rec.T)) - z * (0.5 + 1.8 * b)
    b = 0.98 * b + 0.02 * z
    z = spike(xp, (v - 0.5 - 1.8 * b) / (0.5 + 1.8 * b))
    return z, (z, v, b)


@cell(x=normal("2"), dims={"S": "4"}, state=(zeros("4"), full("4,4", 0.0)), F="4,4", Q=full("4", 0.5), C="2,4",
      W="H,4", R=full("2", 0.7))  # fmt: skip
def kalman_filter(xp, p, z, state):
    """Haarnoja, Ajay, Levine & Abbeel 2016, arXiv:1605.07148, eqs. 3-7: BackpropKF with given observations."""
    mean, P = state
    diagonal_Q, diagonal_R = xp.diag(p.Q), xp.diag(p.R)
    mean = mean @ p.F.T
    P = p.F @ P @ p.F.T + diagonal_Q
    S = p.C @ P @ p.C.T + diagonal_R
    gain = xp.swapaxes(xp.solve(S, p.C @ P), -1, -2)
    mean = mean + xp.einsum("bij,bj->bi", gain, z - mean @ p.C.T)
    P = P - gain @ p.C @ P
    return mean @ p.W.T, (mean, P)
