"""Cells whose state is an image or a sequence: convolutions with stride, dilation and groups, transposed; pooling;
sampling at places that the state says."""

import numpy as np

from zoo.cell import cell, normal, zeros

IMAGE = {"C": "H//16", "P": "I//16", "S": 12}


@cell(x=normal("P,S,S"), dims=IMAGE, state=zeros("C,S,S"), W="2*C,P+C,3,3", b="2*C", W_n="C,P+C,3,3", b_n="C")
def dilated_conv_gru(xp, p, x, h):
    """Ballas, Yao, Pal & Courville 2016, arXiv:1511.06432, eqs. 8-11, dilated as Yu & Koltun 2016, arXiv:1511.07122."""
    a = xp.conv2d(xp.concatenate([x, h], axis=1), p.W, p.b, padding=2, dilation=2)
    z, r = xp.split(xp.sigmoid(a), 2, axis=1)
    n = xp.tanh(xp.conv2d(xp.concatenate([x, r * h], axis=1), p.W_n, p.b_n, padding=2, dilation=2))
    h = (1 - z) * h + z * n
    return h, h


@cell(x=normal("P,S,S"), dims=IMAGE, state=(zeros("C,S,S"), zeros("C,S,S")), W_d="P+C,1,3,3", W_p="C,P+C",
      W_g="4*C,1,3,3", W_o="4*C,C", b="4*C")  # fmt: skip
def bottleneck_lstm(xp, p, x, state):
    """Liu & Zhu 2018, arXiv:1711.06368, eqs. 3-7: convolutions that are separable in depth (groups, then 1x1), ReLU."""
    h, c = state
    both = xp.concatenate([x, h], axis=1)
    deep = xp.conv2d(both, p.W_d, padding=1, groups=both.shape[1])
    b = xp.relu(xp.einsum("bchw,dc->bdhw", deep, p.W_p))
    gates = xp.einsum("bchw,dc->bdhw", b, p.W_o) + p.b[:, None, None]
    i, f, o, n = xp.split(xp.conv2d(gates, p.W_g, padding=1, groups=gates.shape[1]), 4, axis=1)
    c = xp.sigmoid(f) * c + xp.sigmoid(i) * xp.relu(n)
    h = xp.sigmoid(o) * xp.relu(c)
    return h, (h, c)


@cell(x=normal("P,S,S"), dims=IMAGE | {"L": 3}, state=zeros("C,S,S"), W_x="3*C,P,3,3", b="3*C", W_f="8,P+C,5,5",
      W_v="2*L,8,5,5", W_h="3*C,L*C")  # fmt: skip
def traj_gru(xp, p, x, h):
    """Shi et al. 2017, arXiv:1706.03458, eqs. 2-4: three links a pixel, to where a flow of the state says
    (bilinear)."""
    B, C, S, _ = h.shape
    flow = xp.tanh(xp.conv2d(xp.concatenate([x, h], axis=1), p.W_f, padding=2))
    flow = 2 * xp.conv2d(flow, p.W_v, padding=2).reshape(B, 3, 2, S * S)
    rows, columns = [xp.constant(a.reshape(-1), h) for a in np.mgrid[:S, :S]]
    i, j = [xp.clip(at, 0.0, S - 1.001) for at in (rows + flow[:, :, 0], columns + flow[:, :, 1])]
    top, left, pixels, warped = xp.floor(i), xp.floor(j), h.reshape(B, 1, C, S * S), 0.0
    for di, dj in ((0, 0), (0, 1), (1, 0), (1, 1)):
        share = (1 - xp.abs(top + di - i)) * (1 - xp.abs(left + dj - j))
        place = xp.like((top + di) * S + left + dj, "int64")[:, :, None]
        taken = xp.take_along_axis(
            xp.broadcast_to(pixels, (B, 3, C, S * S)), xp.broadcast_to(place, (B, 3, C, S * S)), axis=-1
        )
        warped = warped + share[:, :, None] * taken
    a = xp.einsum("bkp,gk->bgp", warped.reshape(B, 3 * C, S * S), p.W_h).reshape(B, 3 * C, S, S)
    x_z, x_r, x_n = xp.split(xp.conv2d(x, p.W_x, p.b, padding=1), 3, axis=1)
    h_z, h_r, h_n = xp.split(a, 3, axis=1)
    z = xp.sigmoid(x_z + h_z)
    h = (1 - z) * xp.relu(x_n + xp.sigmoid(x_r + h_r) * h_n) + z * h
    return h, h


@cell(x=normal("P,S,S"), dims=IMAGE, state=(zeros("C,S,S"), zeros("C,S,S"), zeros("C,S,S")), W_x="7*C,P,3,3",
      W_h="4*C,C,3,3", W_m="3*C,C,3,3", W_o="C,2*C,3,3", W_1="C,2*C", b="7*C")  # fmt: skip
def spatiotemporal_lstm(xp, p, x, state):
    """Wang, Long, Wang, Gao & Yu 2017, NeurIPS, eq. 4: PredRNN's ST-LSTM, a second memory."""
    h, c, m = state
    g, i, f, o, g_m, i_m, f_m = xp.split(xp.conv2d(x, p.W_x, p.b, padding=1), 7, axis=1)
    hg, hi, hf, ho = xp.split(xp.conv2d(h, p.W_h, padding=1), 4, axis=1)
    mg, mi, mf = xp.split(xp.conv2d(m, p.W_m, padding=1), 3, axis=1)
    c = xp.sigmoid(f + hf) * c + xp.sigmoid(i + hi) * xp.tanh(g + hg)
    m = xp.sigmoid(f_m + mf) * m + xp.sigmoid(i_m + mi) * xp.tanh(g_m + mg)
    both = xp.concatenate([c, m], axis=1)
    o = xp.sigmoid(o + ho + xp.conv2d(both, p.W_o, padding=1))
    h = o * xp.tanh(xp.einsum("bchw,dc->bdhw", both, p.W_1))
    return h, (h, c, m)


@cell(x=normal("P,S,S"), dims=IMAGE, state=(zeros("C,S//2,S//2"), zeros("C,S//2,S//2")), W_e="C,P,3,3", b_e="C",
      W="4*C,2*C,3,3", b="4*C", W_d="C,P,4,4", b_d="P")  # fmt: skip
def strided_auto_encoder(xp, p, x, state):
    """Patraucean, Handa & Cipolla 2016, arXiv:1511.06309, section 3: an LSTM between an encoder and a decoder, in
    space, here both of stride 2."""
    h, c = state
    e = xp.relu(xp.conv2d(x, p.W_e, p.b_e, stride=2, padding=1))
    a = xp.conv2d(xp.concatenate([e, h], axis=1), p.W, p.b, padding=1)
    i, f, g, o = xp.split(a, 4, axis=1)
    c = xp.sigmoid(f) * c + xp.sigmoid(i) * xp.tanh(g)
    h = xp.sigmoid(o) * xp.tanh(c)
    return xp.conv_transpose2d(h, p.W_d, p.b_d, stride=2, padding=1), (h, c)


@cell(x=normal("P,S,S"), dims=IMAGE, state=zeros("C,S,S"), W="C,P,3,3", U="C,C,3,3", b="C", W_out="H,C")
def recurrent_convolution(xp, p, x, h):
    """Pinheiro & Collobert 2014, arXiv:1306.2795, section 3.2, over frames: what is seen is pooled, a large maximum of
    each window, and read by a linear layer; the state is averaged in windows of 3."""
    h = xp.tanh(xp.conv2d(x, p.W, p.b, padding=1) + xp.conv2d(h, p.U, padding=1))
    pooled = xp.max_pool2d(h, 2)
    y = xp.max(pooled.reshape(len(h), h.shape[1], -1), axis=-1) @ p.W_out.T
    return y, 0.5 * h + 0.5 * xp.avg_pool2d(h, 3, stride=1, padding=1)


@cell(x=normal("P,16"), dims=IMAGE, state=(zeros("C,16"), zeros("C,16")), W="4*C,P,3", U="4*C,C,3", b="4*C")
def row_lstm(xp, p, x, state):
    """van den Oord, Kalchbrenner & Kavukcuoglu 2016, arXiv:1601.06759, section 3.1, eq. 3: PixelRNN, a row a step."""
    h, c = state
    o, f, i, g = xp.split(xp.conv1d(x, p.W, p.b, padding=1) + xp.conv1d(h, p.U, padding=1), 4, axis=1)
    c = xp.sigmoid(f) * c + xp.sigmoid(i) * xp.tanh(g)
    h = xp.sigmoid(o) * xp.tanh(c)
    return h, (h, c)
