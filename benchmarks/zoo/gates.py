"""Cells that gate: what is kept and what is let in; some with several layers of depth within a step."""

from zoo.cell import cell, full, integers, normal, uniform, zeros


@cell(x=normal("H"), W="3*H,H", v_f="H", v_r="H", b_f="H", b_r="H")
def sru(xp, p, x, c):
    """Lei, Zhang, Wang, Dai & Artzi 2018, arXiv:1709.02755, eqs. 1-4: simple recurrent unit."""
    u, f, r = xp.split(x @ p.W.T, 3, axis=-1)
    f = xp.sigmoid(f + p.v_f * c + p.b_f)
    r = xp.sigmoid(r + p.v_r * c + p.b_r)
    c = f * c + (1 - f) * u
    return r * c + (1 - r) * x, c


@cell(state=(zeros("I"), zeros("H")), W1="3*H,I", W2="3*H,I")
def qrnn(xp, p, x, state):
    """Bradbury, Merity, Xiong & Socher 2017, arXiv:1611.01576, eqs. 2 and 4: a window of two inputs, fo-pooling."""
    before, c = state
    z, f, o = xp.split(before @ p.W1.T + x @ p.W2.T, 3, axis=-1)
    f, o = xp.sigmoid(f), xp.sigmoid(o)
    c = f * c + (1 - f) * xp.tanh(z)
    return o * c, (x, c)


@cell(W="H,I", b="H", U_h="H,H", U_z="H,H", b_u="H")
def minimal_rnn(xp, p, x, h):
    """Chen 2017, arXiv:1711.05604, eqs. 1-3."""
    z = xp.tanh(x @ p.W.T + p.b)
    u = xp.sigmoid(h @ p.U_h.T + z @ p.U_z.T + p.b_u)
    h = u * h + (1 - u) * z
    return h, h


@cell(U="2*H,H", W="2*H,I", b="2*H")
def janet(xp, p, x, c):
    """van der Westhuizen & Lasenby 2018, arXiv:1804.04849, eq. 3, with β = 1: just another network, forget gate
    only."""
    s, n = xp.split(c @ p.U.T + x @ p.W.T + p.b, 2, axis=-1)
    c = xp.sigmoid(s) * c + (1 - xp.sigmoid(s - 1.0)) * xp.tanh(n)
    return c, c


@cell(W="H,I", u="H", b="H")
def indrnn(xp, p, x, h):
    """Li, Li, Cook, Zhu & Gao 2018, arXiv:1803.04831, eq. 2: independently recurrent."""
    h = xp.relu(x @ p.W.T + p.u * h + p.b)
    return h, h


@cell(W="2*H,I", U="2*H,H", b="2*H")
def ugrnn(xp, p, x, h):
    """Collins, Sohl-Dickstein & Sussillo 2017, arXiv:1611.09913, eqs. 4-6: update gate alone."""
    c, g = xp.split(x @ p.W.T + h @ p.U.T + p.b, 2, axis=-1)
    g = xp.sigmoid(g)
    h = g * h + (1 - g) * xp.tanh(c)
    return h, h


@cell(state=(zeros("H"), zeros("H")), W_c="H,I", W="2*H,I", U="2*H,H", b="2*H")
def ran(xp, p, x, state):
    """Lee, Levy & Zettlemoyer 2017, arXiv:1705.07393, eq. 1: recurrent additive network."""
    h, c = state
    i, f = xp.split(xp.sigmoid(x @ p.W.T + h @ p.U.T + p.b), 2, axis=-1)
    c = i * (x @ p.W_c.T) + f * c
    h = xp.tanh(c)
    return h, (h, c)


@cell(W="H,I", V="2*H,I", U="2*H,H", b="2*H")
def cfn(xp, p, x, h):
    """Laurent & von Brecht 2017, arXiv:1612.06212, eqs. 1-3: chaos-free network."""
    theta, eta = xp.split(xp.sigmoid(h @ p.U.T + x @ p.V.T + p.b), 2, axis=-1)
    h = theta * xp.tanh(h) + eta * xp.tanh(x @ p.W.T)
    return h, h


@cell(state=(zeros("H"), zeros("C")), dims={"C": "H//4"}, A="H,I", B="C,I", P="H,C", R="H,H", U="H,H", V="H,C")
def scrn(xp, p, x, state):
    """Mikolov, Joulin, Chopra, Mathieu & Ranzato 2015, arXiv:1412.7753, eqs. 3-5, α = 0.95: slow context features."""
    h, s = state
    s = 0.05 * (x @ p.B.T) + 0.95 * s
    h = xp.sigmoid(s @ p.P.T + x @ p.A.T + h @ p.R.T)
    return h @ p.U.T + s @ p.V.T, (h, s)


@cell(W="H,I", U="H,H", alpha="H", beta_1="H", beta_2="H", b="H")
def mi_rnn(xp, p, x, h):
    """Wu, Zhang, Zhang, Bengio & Salakhutdinov 2016, arXiv:1606.06630, eq. 3: multiplicative integration."""
    Wx, Uh = x @ p.W.T, h @ p.U.T
    h = xp.tanh(p.alpha * Wx * Uh + p.beta_1 * Uh + p.beta_2 * Wx + p.b)
    return h, h


@cell(state=(zeros("H"), zeros("H")), W_mx="H,I", W_mh="H,H", W_x="4*H,I", W_m="4*H,H", b="4*H")
def multiplicative_lstm(xp, p, x, state):
    """Krause, Lu, Murray & Renals 2016, arXiv:1609.07959, eqs. 16-20."""
    h, c = state
    m = (x @ p.W_mx.T) * (h @ p.W_mh.T)
    i, f, n, o = xp.split(x @ p.W_x.T + m @ p.W_m.T + p.b, 4, axis=-1)
    c = xp.sigmoid(f) * c + xp.sigmoid(i) * n
    h = xp.tanh(c) * xp.sigmoid(o)
    return h, (h, c)


@cell(state=(zeros("H"), zeros("H"), zeros("H")), W="4*H,I", U="4*H,H", b="4*H", W_in="4*H,H", U_in="4*H,H", b_in="4*H")
def nested_lstm(xp, p, x, state):
    """Moniz & Krueger 2017, arXiv:1801.10308, eqs. 1-11: the memory of an LSTM is an LSTM."""
    h, c, inner = state
    i, f, g, o = xp.split(x @ p.W.T + h @ p.U.T + p.b, 4, axis=-1)
    old, new = xp.sigmoid(f) * c, xp.sigmoid(i) * xp.tanh(g)
    i, f, g, q = xp.split(new @ p.W_in.T + old @ p.U_in.T + p.b_in, 4, axis=-1)
    inner = xp.sigmoid(f) * inner + xp.sigmoid(i) * xp.tanh(g)
    c = xp.sigmoid(q) * xp.tanh(inner)
    h = xp.sigmoid(o) * xp.tanh(c)
    return h, (h, c, inner)


@cell(W_z="H,I", b_z="H", W_x="H,I", W_h="H,H", b_k="H")
def star(xp, p, x, h):
    """Turkoglu, D'Aronco, Wegner & Schindler 2021, arXiv:1911.11033, eqs. 11-13: stackable recurrent cell."""
    z = xp.tanh(x @ p.W_z.T + p.b_z)
    k = xp.sigmoid(x @ p.W_x.T + h @ p.W_h.T + p.b_k)
    h = xp.tanh((1 - k) * h + k * z)
    return h, h


@cell(state=(zeros("H"), zeros("H")), dims={"R": "H//4"}, W="4*H,I", U="4*H,H", b="4*H", Q_left="3,I,R",
      Q_right="3,R,H", R_left="2,H,R", R_right="2,R,I")  # fmt: skip
def mogrifier_lstm(xp, p, x, state):
    """Melis, Kocisky & Blunsom 2020, arXiv:1909.01792, eqs. 1-2: five rounds of low rank before an LSTM."""
    h, c = state
    for k in range(3):
        x = 2 * xp.sigmoid(h @ (p.Q_left[k] @ p.Q_right[k]).T) * x
        if k < 2:
            h = 2 * xp.sigmoid(x @ (p.R_left[k] @ p.R_right[k]).T) * h
    i, f, g, o = xp.split(x @ p.W.T + h @ p.U.T + p.b, 4, axis=-1)
    c = xp.sigmoid(f) * c + xp.sigmoid(i) * xp.tanh(g)
    h = xp.sigmoid(o) * xp.tanh(c)
    return h, (h, c)


@cell(W="2*H,I", U="2*H,H", beta=normal("2*H"), mixes="statistics of the batch")
def li_gru(xp, p, x, h):
    """Ravanelli, Brakel, Omologo & Bengio 2018, arXiv:1803.10225, eqs. 8-10: no reset gate, batch normalisation of
    x."""
    z, n = xp.split(xp.standardize(x @ p.W.T, axis=0) + p.beta + h @ p.U.T, 2, axis=-1)
    z = xp.sigmoid(z)
    h = z * h + (1 - z) * xp.relu(n)
    return h, h


@cell(state=(zeros("H"), zeros("H")), W="4*H,I", U="4*H,H", b="4*H", gain_x=full("4*H", 0.1),
      gain_h=full("4*H", 0.1), gain_c=full("H", 0.1), b_c="H", mixes="statistics of the batch")  # fmt: skip
def batch_normalised_lstm(xp, p, x, state):
    """Cooijmans, Ballas, Laurent, Gulcehre & Courville 2017, arXiv:1603.09025, eqs. 6-8."""
    h, c = state
    a = p.gain_h * xp.standardize(h @ p.U.T, axis=0) + p.gain_x * xp.standardize(x @ p.W.T, axis=0) + p.b
    f, i, o, g = xp.split(a, 4, axis=-1)
    c = xp.sigmoid(f) * c + xp.sigmoid(i) * xp.tanh(g)
    h = xp.sigmoid(o) * xp.tanh(p.gain_c * xp.standardize(c, axis=0) + p.b_c)
    return h, (h, c)


@cell(W="2*H,I", R="5,2*H,H", b="5,2*H")
def recurrent_highway(xp, p, x, s):
    """Zilly, Srivastava, Koutnik & Schmidhuber 2017, arXiv:1607.03474, eqs. 7-9: depth 5, carry gate 1 - t."""
    for layer in range(5):
        a = s @ p.R[layer].T + p.b[layer]
        h, t = xp.split(a + x @ p.W.T if layer == 0 else a, 2, axis=-1)
        t = xp.sigmoid(t)
        s = xp.tanh(h) * t + s * (1 - t)
    return s, s


@cell(W="H,H", U="H,I", b="H")
def equilibrium(xp, p, x, z):
    """Bai, Kolter & Koltun 2019, arXiv:1909.01377, eq. 3, by 18 iterations of the fixed point, from the last one's."""
    injected = x @ p.U.T + p.b
    for _ in range(18):
        z = xp.tanh(z @ p.W.T + injected)
    return z, z


@cell(W="H,I", U="H,H", u="H", b="H", w_p="H", b_p="1")
def adaptive_computation_time(xp, p, x, s):
    """Graves 2016, arXiv:1603.08983, eqs. 5-13: at most 8 steps of thought, ε = 0.01; the first sees a flag."""
    total = remaining = mean = 0.0
    for n in range(8):
        s = xp.tanh(x @ p.W.T + s @ p.U.T + p.b + (p.u if n == 0 else 0.0))
        halt = xp.sigmoid(xp.sum(s * p.w_p, axis=-1, keepdims=True) + p.b_p)
        running = xp.stop_gradient(1.0 - total) if n else 1.0
        last = (total + halt >= 0.99) | (n == 7)
        weight = xp.where(last, 1.0 - total, halt) if n else xp.where(last, 1.0 + 0 * halt, halt)
        weight = weight * (running > 0.0)
        mean = mean + weight * s
        total = total + weight
        remaining = remaining + weight
    return mean, mean


@cell(state=(zeros("H"), zeros("H")), dims={"C": "H//8"}, W="4*H+2*C,I", U="4*H+2*C,H", b="4*H+2*C")
def ordered_neurons(xp, p, x, state):
    """Shen, Tan, Sordoni & Courville 2019, arXiv:1810.09536, eqs. 9-14: ON-LSTM, master gates for chunks of 8."""
    h, c = state
    a, H = x @ p.W.T + h @ p.U.T + p.b, h.shape[-1]
    f, i, o, n = xp.split(a[:, : 4 * H], 4, axis=-1)
    f_master, i_master = xp.split(a[:, 4 * H :], 2, axis=-1)
    f_master = xp.repeat(xp.cumsum(xp.softmax(f_master, axis=-1), axis=-1), 8, axis=-1)
    i_master = xp.repeat(1 - xp.cumsum(xp.softmax(i_master, axis=-1), axis=-1), 8, axis=-1)
    both = f_master * i_master
    f = xp.sigmoid(f) * both + (f_master - both)
    i = xp.sigmoid(i) * both + (i_master - both)
    c = f * c + i * xp.tanh(n)
    h = xp.sigmoid(o) * xp.tanh(c)
    return h, (h, c)


@cell(state=(zeros("H"), zeros("H"), zeros("S"), zeros("S")), dims={"S": "H//4", "Z": "4"}, W_x="4*H,I", W_h="4*H,H",
      V="4*S,H+I", V_s="4*S,S", b="4*S", W_z="12*Z,S", b_z="12*Z", D_h="4,H,Z", D_x="4,H,Z", D_b="4,H,Z", b_0="4*H",
      gain=full("4*H", 1.0), bias=zeros("4*H"))  # fmt: skip
def hyper_lstm(xp, p, x, state):
    """Ha, Dai & Le 2017, arXiv:1609.09106, eqs. 10-13 (appendix A.2.3): a small LSTM scales the weights of a large
    one."""
    h, c, s_h, s_c = state
    i, f, g, o = xp.split(xp.concatenate([h, x], axis=-1) @ p.V.T + s_h @ p.V_s.T + p.b, 4, axis=-1)
    s_c = xp.sigmoid(f) * s_c + xp.sigmoid(i) * xp.tanh(g)
    s_h = xp.sigmoid(o) * xp.tanh(s_c)
    z_h, z_x, z_b = xp.split((s_h @ p.W_z.T + p.b_z).reshape(len(x), 12, -1), 3, axis=1)
    d_h, d_x, d_b = [
        xp.einsum("bkz,khz->bkh", z, d).reshape(len(x), -1) for z, d in ((z_h, p.D_h), (z_x, p.D_x), (z_b, p.D_b))
    ]
    a = xp.layer_norm(d_h * (h @ p.W_h.T) + d_x * (x @ p.W_x.T) + d_b + p.b_0, p.gain, p.bias)
    i, f, g, o = xp.split(a, 4, axis=-1)
    c = xp.sigmoid(f) * c + xp.sigmoid(i) * xp.tanh(g)
    h = xp.sigmoid(o) * xp.tanh(c)
    return h, (h, c, s_h, s_c)


@cell(x=(normal("I"), uniform("1", 0.0, 10.0)), state=(zeros("H"), zeros("H")), W="4*H,I", U="4*H,H", b="4*H",
      tau=uniform("H", 1.0, 4.0), s=uniform("H"), r_on=full("H", 0.3))  # fmt: skip
def phased_lstm(xp, p, x, state):
    """Neil, Pfeiffer & Liu 2016, arXiv:1610.09513, eqs. 6-11: a gate that opens with a period, leak 0.001."""
    (x, t), (h_old, c_old) = x, state
    i, f, g, o = xp.split(x @ p.W.T + h_old @ p.U.T + p.b, 4, axis=-1)
    c = xp.sigmoid(f) * c_old + xp.sigmoid(i) * xp.tanh(g)
    h = xp.sigmoid(o) * xp.tanh(c)
    phase = (t - p.s) / p.tau
    phase = phase - xp.floor(phase)
    rising, falling = 2 * phase / p.r_on, 2 - 2 * phase / p.r_on
    k = xp.where(phase < p.r_on / 2, rising, xp.where(phase < p.r_on, falling, 0.001 * phase))
    c = k * c + (1 - k) * c_old
    h = k * h + (1 - k) * h_old
    return h, (h, c)


@cell(dims={"R": "H//4"}, W_1="R,I", W_2="H,R", U_1="R,H", U_2="H,R", b_z="H", b_h="H", zeta=full("1", 1.0),
      nu=full("1", -4.0))  # fmt: skip
def fast_grnn(xp, p, x, h):
    """Kusupati, Singh, Bhatia, Kumar, Jain & Varma 2018, arXiv:1901.02358, eqs. 4-5: low rank, shared by gate and
    state."""
    a = x @ p.W_1.T @ p.W_2.T + h @ p.U_1.T @ p.U_2.T
    z, n = xp.sigmoid(a + p.b_z), xp.tanh(a + p.b_h)
    h = (xp.sigmoid(p.zeta) * (1 - z) + xp.sigmoid(p.nu)) * n + z * h
    return h, h


@cell(state=(zeros("H"), zeros("H"), zeros("H"), zeros("H")), W="4*H,I", R="4,N,D,D", b="4*H",
      dims={"N": 4, "D": "H//4"})  # fmt: skip
def slstm(xp, p, x, state):
    """Beck et al. 2024, arXiv:2405.04517, eqs. 8-17: exponential gates, a normaliser, a stabiliser, four heads."""
    h, c, n, m = state
    recurrent = xp.einsum("bnd,gnde->bgne", h.reshape(len(h), 4, -1), p.R).reshape(len(h), -1)
    z, i, f, o = xp.split(x @ p.W.T + recurrent + p.b, 4, axis=-1)
    f = xp.log_sigmoid(f)
    m_new = xp.maximum(f + m, i)
    i, f = xp.exp(i - m_new), xp.exp(f + m - m_new)
    c = f * c + i * xp.tanh(z)
    n = f * n + i
    h = xp.sigmoid(o) * c / n
    return h, (h, c, n, m_new)


@cell(x=(normal("I"), integers("", 3)), W="3,H,I", U="3,H,H", b="3,H")
def switched(xp, p, x, h):
    """Linderman et al. 2017, arXiv:1610.08466, eqs. 1-2, a discrete state z that is given picks the dynamics."""
    x, z = x
    h = xp.tanh(xp.einsum("bi,bhi->bh", x, p.W[z]) + xp.einsum("bk,bhk->bh", h, p.U[z]) + p.b[z])
    return h, h
