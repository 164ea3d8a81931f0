"""Tree-structured LSTMs (Tai, Socher & Manning 2015, arXiv:1503.00075): a whole batch of trees, level by level."""

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

import numpy as np

import minigrad as mg
from minigrad import nn
from minigrad.arguments import Count, Generator, Size, checked
from minigrad.nn.recurrent import uniform_parameter


class Forest(NamedTuple):
    """Trees as the layers below read them; `forest` makes it. The nodes of a level, of all trees, stand side by side in
    a row of `width` places, the deepest level first: the children of a row are the row before it.

    node: which node is in a place, (levels, width); present: whether one is. parent, position: for each place of the
    row *before*, where in this row its parent stands, and which child of it it is. place: of each node, in all rows
    laid end to end, (nodes,). All are integers but `present`.
    """

    node: np.ndarray
    present: np.ndarray
    parent: np.ndarray
    position: np.ndarray
    place: np.ndarray


@checked
def forest(trees: Sequence, positions: Sequence | None = None, multiples: tuple[int, int, int] = (1, 1, 1)) -> Forest:
    """Trees, each told by the parents of its nodes: [-1, 0, 0, 2] has the root 0, its children 1 and 2, and 3 below 2.

    trees: for each tree an array of integers, -1 for a root; nodes are numbered on from tree to tree. positions: for
    each tree which child of its parent every node is, from 0; by default children come in the order of their numbers.
    multiples: (nodes, levels, width) are rounded up to multiples of these, so that forests of different shapes share a
    compiled program; the nodes that are added belong to no tree, and what a layer says of them means nothing.

    Raises ValueError for what is no tree, and for positions that two children share.

    Examples
    --------
    >>> trees = models.forest([[-1, 0, 0, 2], [-1]])
    >>> trees.present.sum(axis=1).tolist(), len(trees.place)
    ([1, 2, 2], 5)
    """
    trees = [np.asarray(tree) for tree in trees]
    for number, tree in enumerate(trees):
        if tree.ndim != 1 or tree.dtype.kind != "i" or not len(tree) or tree.min() < -1 or tree.max() >= len(tree):
            raise ValueError(
                f"forest: got tree {number} {tree.tolist()}, wanted the parent of each node, an integer from 0 to one "
                "less than there are nodes, or -1 for a root"
            )
    starts = list(accumulate(map(len, trees), initial=0))
    parent = np.concatenate([np.where(tree < 0, -1, tree + start) for tree, start in zip(trees, starts)])
    nodes = len(parent)
    order = np.argsort(parent, kind="stable")  # the roots, the children of node 0, those of node 1, ...
    first = np.searchsorted(parent[order], np.arange(-1, nodes + 1))
    rows = [order[: first[1]]]
    while len(rows[-1]):
        rows.append(np.concatenate([order[first[n + 1] : first[n + 2]] for n in rows[-1]]))
    rows = rows[-2::-1]
    if sum(map(len, rows)) < nodes:
        lost = np.setdiff1d(np.arange(nodes), np.concatenate([*rows, order[:0]]))[0]
        number = int(np.searchsorted(starts, lost, "right")) - 1
        raise ValueError(f"forest: tree {number} has a cycle, wanted a root above every node: {trees[number].tolist()}")
    position = np.empty(nodes, int)
    position[order] = np.arange(nodes) - first[parent[order] + 1]
    if positions is not None:
        position = np.concatenate([np.asarray(p) for p in positions])
        if position.shape != parent.shape or position.dtype.kind != "i":
            raise ValueError(f"forest: got {position.dtype} positions of {len(position)}, wanted {nodes} integers")
        pairs = np.stack([parent, position], axis=1)[parent >= 0]
        if (pairs < 0).any() or len(np.unique(pairs, axis=0)) < len(pairs):
            raise ValueError("forest: got positions that are negative, or the same for two children of a node")

    nodes, levels, width = [-(-n // m) * m for n, m in zip((nodes, len(rows), max(map(len, rows))), multiples)]
    node, present, to, which = [np.zeros((levels, width), kind) for kind in (int, bool, int, int)]
    rank, place = np.zeros(nodes, int), np.zeros(nodes, int)
    before = order[:0]
    for level, row in enumerate(rows):
        node[level, : len(row)], present[level, : len(row)] = row, True
        rank[row] = np.arange(len(row))
        place[row] = level * width + rank[row]
        to[level, : len(before)], which[level, : len(before)] = rank[parent[before]], position[before]
        before = row
    return Forest(node, present, to, which, place)


class TreeLSTM(nn.Module):
    """What the two have in common; `children` and `forward` run a level in a few large products.

    The state of a node is (h, c); i, f, g (the paper's u) and o read the node's input and the states of its children.
    """

    input_size: int
    hidden_size: int

    @checked
    def __init__(
        self, input_size: Count, hidden_size: Count, forgets: Size, children: Size, forget_inputs: Size, generator
    ):
        self.input_size, self.hidden_size, self.forget_inputs = input_size, hidden_size, forget_inputs
        H = hidden_size
        self.weight_ih = uniform_parameter(((3 + forget_inputs) * H, input_size), H, generator)
        self.weight_hh = uniform_parameter(((3 + forgets) * H, children * H), H, generator)
        self.bias = uniform_parameter(((3 + forget_inputs) * H,), H, generator)

    def children(self, x_f, h, c, parent, position):
        """What a row gets from the row before it: ((i, g, o) without the input, (W, 3H); Σ_k f_k ⊙ c_k, (W, H))."""
        raise NotImplementedError

    @checked
    def forward(self, x, trees: Forest):
        """(h, c), each (nodes, H), of every node, from the inputs x (nodes, I). See `forest`.

        Raises ValueError for an x that does not fit.
        """
        x = x if isinstance(x, mg.Tensor) else mg.tensor(x)
        nodes, W, H = trees.place.shape[0], trees.node.shape[1], self.hidden_size
        if x.shape != (nodes, self.input_size):
            raise ValueError(
                f"{type(self).__name__}: got x of shape {x.shape}, wanted (nodes={nodes}, input_size={self.input_size})"
            )
        rows = mg.take(x @ self.weight_ih.T + self.bias, trees.node, 0)

        def level(before, inputs):
            x, present, parent, position = inputs
            x_i, *x_f, x_g, x_o = mg.split(x, 3 + self.forget_inputs, axis=-1)
            (i, g, o), kept = self.children(x_f, *before, parent, position)
            c = mg.sigmoid(x_i + i) * mg.tanh(x_g + g) + kept
            h = mg.sigmoid(x_o + o) * mg.tanh(c)
            state = mg.where(present[:, None], h, 0), mg.where(present[:, None], c, 0)
            return state, state

        zero = mg.zeros((W, H), x.dtype)
        _, states = mg.scan(level, (zero, zero), (rows, trees.present, trees.parent, trees.position))
        return tuple([mg.take(state.reshape(-1, H), trees.place, 0) for state in states])


class ChildSumTreeLSTM(TreeLSTM):
    """Any number of children, in no order (eqs. 2 to 8): with h~ = Σ_k h_k

    i, o = σ(x W_i*^T + h~ U_*^T + b_*), g = tanh(...) likewise; f_k = σ(x W_f^T + h_k U_f^T + b_f), one a child;
    c = i ⊙ g + Σ_k f_k ⊙ c_k; h = o ⊙ tanh(c).

    weight_ih (4H, I), weight_hh (4H, H), bias (4H,), gates in the order i f g o (g is the paper's u), all U(±1/√H): on
    a chain it is the LSTM with these weights. 4(H(I + H) + H) numbers.

    Examples
    --------
    >>> trees = models.forest([[-1, 0, 0], [-1, 0]])
    >>> h, c = models.ChildSumTreeLSTM(3, 4)(mg.zeros((5, 3)), trees)
    >>> h.shape
    (5, 4)
    """

    @checked
    def __init__(self, input_size: Count, hidden_size: Count, *, generator: Generator = None):
        super().__init__(input_size, hidden_size, 1, 1, 1, generator)

    def children(self, x_f, h, c, parent, position):
        U_i, U_f, U_g, U_o = mg.split(self.weight_hh, 4)
        f = mg.sigmoid(x_f[0][parent] + h @ U_f.T)
        h_sum = added(h, parent, h.shape[0])
        return [h_sum @ U.T for U in (U_i, U_g, U_o)], added(f * c, parent, c.shape[0])


class NaryTreeLSTM(TreeLSTM):
    """At most N children, each position with weights of its own (eqs. 9 to 14), absent children being zero:

    i, o = σ(x W_i*^T + Σ_l h_l U_*l^T + b_*), g = tanh(...) likewise; f_k = σ(x W_f^T + Σ_l h_l U_fkl^T + b_f);
    c = i ⊙ g + Σ_k f_k ⊙ c_k; h = o ⊙ tanh(c).

    weight_ih (4H, I) in the order i f g o, weight_hh ((3 + N)H, N H) in the order i f_1 ... f_N g o and the children
    side by side, bias (4H,); all U(±1/√H). On a chain with N = 1 it is the LSTM with these weights.
    4(H I + H) + (3 + N) N H² numbers.

    input_forgets: True, as in Chainer, gives each f_k a W_f and a b_f of its own: weight_ih ((3 + N)H, I) and bias
    ((3 + N)H,), in the order of weight_hh; (3 + N)(H I + H) + (3 + N) N H² numbers.

    Examples
    --------
    >>> trees = models.forest([[-1, 0, 0]], positions=[[0, 0, 1]])
    >>> h, c = models.NaryTreeLSTM(3, 4, arity=2)(mg.zeros((3, 3)), trees)
    >>> h.shape
    (3, 4)
    """

    @checked
    def __init__(
        self, input_size: Count, hidden_size: Count, arity: Size, *, input_forgets: bool = False,
        generator: Generator = None,
    ):  # fmt: skip
        super().__init__(input_size, hidden_size, arity, arity, arity if input_forgets else 1, generator)
        self.arity = arity

    @checked
    def forward(self, x, trees: Forest):
        if not isinstance(trees.position, mg.Tensor) and trees.position.max() >= self.arity:
            raise ValueError(
                f"NaryTreeLSTM: got a node with a child in position {trees.position.max()}, wanted at most "
                f"arity={self.arity} children, from 0 on"
            )
        return super().forward(x, trees)

    def children(self, x_f, h, c, parent, position):
        (W, H), N = h.shape, self.arity
        slot = parent * N + position
        h_children, c_children = [added(s, slot, W * N).reshape(W, N * H) for s in (h, c)]
        i, *f, g, o = mg.split(h_children @ self.weight_hh.T, 3 + N, axis=-1)
        x_f = x_f if self.forget_inputs > 1 else x_f * N
        f_c = [mg.sigmoid(x + f_k) * c_k for x, f_k, c_k in zip(x_f, f, mg.split(c_children, N, axis=-1))]
        return (i, g, o), sum(f_c)


def added(rows, where, count: int):
    """(count, H): the sums of the rows that are sent to each place. It is the transpose of taking rows by `where`."""
    zeros = mg.zeros((count, rows.shape[1]), rows.dtype)
    _, pull = mg.vjp(lambda places: places[where], zeros)
    return pull(rows)[0]
