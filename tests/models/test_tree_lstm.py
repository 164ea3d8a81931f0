import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.models import ChildSumTreeLSTM, LSTMCell, NaryTreeLSTM, forest
from minigrad.testing import gradcheck, seeds

pytestmark = pytest.mark.eager_only("no Recurrent is called here; jitted layers are tested beside eager ones")
sizes = st.integers(1, 4)


def random_tree(rng, nodes: int, arity: int = 10**9) -> np.ndarray:
    """Parents of a tree of any shape, its nodes numbered in any order, its root anywhere."""
    parent, children = [-1], [0]
    for _ in range(1, nodes):
        below = rng.choice(np.flatnonzero(np.array(children) < arity))
        parent.append(below)
        children[below] += 1
        children.append(0)
    new = rng.permutation(nodes)
    tree = np.empty(nodes, int)
    tree[new] = [-1 if p < 0 else new[p] for p in parent]
    return tree


def children_of(tree, node):
    return np.flatnonzero(tree == node)


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def child_sum(p, x, tree, node, states):
    """Equations 2 to 8 at a node and, before it, at everything below; fills `states` with (h, c)."""
    W_i, W_f, W_u, W_o = np.split(p["weight_ih"], 4)
    U_i, U_f, U_u, U_o = np.split(p["weight_hh"], 4)
    b_i, b_f, b_u, b_o = np.split(p["bias"], 4)
    below = [child_sum(p, x, tree, k, states) for k in children_of(tree, node)]
    h_sum = sum([h for h, _ in below], np.zeros(len(b_i)))
    i = sigmoid(W_i @ x[node] + U_i @ h_sum + b_i)
    u = np.tanh(W_u @ x[node] + U_u @ h_sum + b_u)
    o = sigmoid(W_o @ x[node] + U_o @ h_sum + b_o)
    c = i * u
    for h_k, c_k in below:
        c = c + sigmoid(W_f @ x[node] + U_f @ h_k + b_f) * c_k
    states[node] = o * np.tanh(c), c
    return states[node]


def nary(p, x, tree, node, states):
    """Equations 9 to 14."""
    W_i, W_f, W_u, W_o = np.split(p["weight_ih"], 4)
    b_i, b_f, b_u, b_o = np.split(p["bias"], 4)
    H = len(b_i)
    N = p["weight_hh"].shape[1] // H
    U = p["weight_hh"].reshape(3 + N, H, N, H)  # i, f_1 ... f_N, u, o
    below = [nary(p, x, tree, k, states) for k in children_of(tree, node)]

    def from_children(gate):
        return sum([U[gate, :, k] @ h_k for k, (h_k, _) in enumerate(below)], np.zeros(H))

    i = sigmoid(W_i @ x[node] + from_children(0) + b_i)
    u = np.tanh(W_u @ x[node] + from_children(N + 1) + b_u)
    o = sigmoid(W_o @ x[node] + from_children(N + 2) + b_o)
    c = i * u
    for k, (_, c_k) in enumerate(below):
        c = c + sigmoid(W_f @ x[node] + from_children(1 + k) + b_f) * c_k
    states[node] = o * np.tanh(c), c
    return states[node]


def made(kind: str, I: int, H: int, rng):
    layer = ChildSumTreeLSTM(I, H, generator=rng) if kind == "child sum" else NaryTreeLSTM(I, H, 3, generator=rng)
    return layer.astype("float64")


both = pytest.mark.parametrize("kind", ["child sum", "n-ary"])


@both
@given(nodes=st.lists(st.integers(1, 12), min_size=1, max_size=5), I=sizes, H=sizes, rng=seeds())
def test_levels_are_the_recursion(kind, nodes, I, H, rng):
    """A batch of different trees, level by level, is each tree, node by node."""
    layer = made(kind, I, H, rng)
    trees = [random_tree(rng, n, 3 if kind == "n-ary" else 10**9) for n in nodes]
    x = rng.normal(size=(sum(nodes), I))
    h, c = layer(mg.tensor(x), forest(trees))
    h_jit, c_jit = mg.jit(layer)(mg.tensor(x), forest(trees))
    p = layer.state_dict()
    start = 0
    for tree in trees:
        states = {}
        part = slice(start, start + len(tree))
        (child_sum if kind == "child sum" else nary)(p, x[part], tree, int(np.flatnonzero(tree == -1)[0]), states)
        for got in ((h, c), (h_jit, c_jit)):
            for k in range(2):
                wanted = [states[n][k] for n in range(len(tree))]
                np.testing.assert_allclose(got[k][part].numpy(), wanted, rtol=1e-12, atol=1e-14)
        start += len(tree)


@both
@pytest.mark.parametrize("wrap", [lambda f: f, mg.jit], ids=["eager", "jit"])
def test_gradcheck(kind, wrap):
    rng = np.random.default_rng(1)
    layer = wrap(made(kind, 2, 3, rng))
    trees = forest([[-1, 0, 0, 2, 0, 3], [-1], [1, -1]])
    assert gradcheck(layer, (rng.normal(size=(9, 2)), trees))


@both
@given(rng=seeds())
def test_a_chain_is_an_lstm(kind, rng):
    I, H, T = 3, 4, 6
    layer = ChildSumTreeLSTM(I, H) if kind == "child sum" else NaryTreeLSTM(I, H, 1)
    cell = LSTMCell(I, H).astype("float64")
    values = {name: rng.normal(size=p.shape) for name, p in layer.astype("float64").named_parameters()}
    layer.load_state_dict(values)
    bias = {"bias_ih": values["bias"], "bias_hh": np.zeros(4 * H)}
    cell.load_state_dict({"weight_ih": values["weight_ih"], "weight_hh": values["weight_hh"], **bias})
    x = rng.normal(size=(T, I))
    h, c = layer(mg.tensor(x), forest([np.arange(-1, T - 1)]))  # each node below the one before: the last is read first
    state = mg.tensor(np.zeros(H)), mg.tensor(np.zeros(H))
    for t in reversed(range(T)):
        state = cell(mg.tensor(x[t]), state)
        np.testing.assert_allclose(h[t].numpy(), state[0].numpy(), rtol=1e-12)
        np.testing.assert_allclose(c[t].numpy(), state[1].numpy(), rtol=1e-12)


@given(nodes=st.integers(2, 15), rng=seeds())
def test_child_sum_does_not_see_the_order_of_children(nodes, rng):
    """Renumbering the nodes changes the order of children, and no node's state."""
    layer = made("child sum", 2, 3, rng)
    tree, x, new = random_tree(rng, nodes), rng.normal(size=(nodes, 2)), rng.permutation(nodes)
    renumbered, x_new = np.empty(nodes, int), np.empty_like(x)
    renumbered[new] = [-1 if p < 0 else new[p] for p in tree]
    x_new[new] = x
    before, after = layer(mg.tensor(x), forest([tree])), layer(mg.tensor(x_new), forest([renumbered]))
    for a, b in zip(before, after):
        np.testing.assert_allclose(a.numpy(), b.numpy()[new], rtol=1e-12, atol=1e-14)


def test_nary_sees_the_order_of_children():
    rng = np.random.default_rng(2)
    layer, x = made("n-ary", 2, 3, rng), mg.tensor(rng.normal(size=(3, 2)))
    tree = [-1, 0, 0]
    left, right, second = [layer(x, forest([tree], [p]))[0].numpy()[0] for p in ([0, 0, 1], [0, 1, 0], [0, 1, 2])]
    np.testing.assert_array_equal(left, layer(x, forest([tree]))[0].numpy()[0])
    assert abs(left - right).max() > 1e-3 and abs(left - second).max() > 1e-3
    only = layer(x[:2], forest([[-1, 0]], [[0, 2]]))[0].numpy()[0]  # a right child, and no left one
    assert abs(only - layer(x[:2], forest([[-1, 0]]))[0].numpy()[0]).max() > 1e-3


@both
@given(rng=seeds())
def test_rounding_up_changes_neither_states_nor_gradients(kind, rng):
    layer = made(kind, 2, 3, rng)
    trees = [random_tree(rng, n, 3) for n in (5, 1, 4)]
    x = rng.normal(size=(10, 2))
    dy = rng.normal(size=(2, 10, 3))
    results = []
    for multiples in [(1, 1, 1), (13, 9, 11)]:
        given_x = np.concatenate([x, np.full((-10 % multiples[0], 2), 7.0)])
        given_x = mg.tensor(given_x, requires_grad=True)
        states = [s[:10] for s in layer(given_x, forest(trees, multiples=multiples))]
        layer.zero_grad()
        sum((s * d).sum() for s, d in zip(states, dy)).backward()
        gradients = [p.grad.numpy() for p in layer.parameters()]
        results.append([*[s.numpy() for s in states], given_x.grad.numpy()[:10], *gradients])
        assert not given_x.grad.numpy()[10:].any()
    for a, b in zip(*results):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def test_one_program_for_forests_of_different_shapes():
    rng = np.random.default_rng(3)
    layer = mg.jit(ChildSumTreeLSTM(2, 3))
    for sizes in [(3, 4), (7, 1), (2, 2)]:
        trees = forest([random_tree(rng, n) for n in sizes], multiples=(8, 8, 8))
        layer(mg.tensor(np.ones((8, 2), "float32")), trees)
    assert layer.traces == 1


@both
def test_a_very_deep_tree(kind):
    """No recursion: 1,500 levels."""
    rng = np.random.default_rng(4)
    layer = made(kind, 1, 2, rng)
    x = mg.tensor(rng.normal(size=(1500, 1)), requires_grad=True)
    layer(x, forest([np.arange(-1, 1499)]))[0][0].sum().backward()
    assert np.isfinite(x.grad.numpy()).all() and x.grad.numpy()[0].any()


@given(trees=st.lists(st.integers(1, 9), min_size=1, max_size=4), rng=seeds())
def test_forest(trees, rng):
    trees = [random_tree(rng, n) for n in trees]
    made = forest(trees)
    nodes = sum(map(len, trees))
    assert sorted(made.node[made.present]) == list(range(nodes))
    assert (made.node.reshape(-1)[made.place] == np.arange(nodes)).all() and made.present.reshape(-1)[made.place].all()
    starts = np.cumsum([0, *map(len, trees)])
    parents = np.concatenate([np.where(tree < 0, -1, tree + start) for tree, start in zip(trees, starts)])
    assert (parents[made.node[-1][made.present[-1]]] == -1).all()
    for level in range(1, len(made.node)):
        present = made.present[level - 1]
        below, above = made.node[level - 1][present], made.node[level][made.parent[level][present]]
        assert (parents[below] == above).all()
        for node in set(above):  # the children of a node are numbered from 0
            assert sorted(made.position[level][present][above == node]) == list(range((above == node).sum()))


@pytest.mark.parametrize(
    "trees, positions, words",
    [
        ([[-1], [0]], None, "tree 1 has a cycle"),
        ([[1, 0, -1]], None, "tree 0 has a cycle"),
        ([[-1, 2]], None, "tree 0 .* wanted the parent of each node"),
        ([[-1], []], None, "tree 1"),
        ([[-1, -2]], None, "tree 0"),
        ([[-1.0]], None, "tree 0"),
        ([[[-1]]], None, "tree 0"),
        ([[-1, 0, 0]], [[0, 1, 1]], "the same for two children"),
        ([[-1, 0]], [[0, -1]], "negative"),
        ([[-1, 0]], [[0]], "wanted 2 integers"),
    ],
)
def test_what_is_no_forest(trees, positions, words):
    with pytest.raises(ValueError, match=words) as caught:
        forest(trees, positions)
    assert "\n" not in str(caught.value)


def test_errors():
    tree = forest([[-1, 0, 0]])
    with pytest.raises(ValueError, match=r"got x of shape \(3, 4\), wanted \(nodes=3, input_size=2\)"):
        ChildSumTreeLSTM(2, 3)(np.zeros((3, 4), "float32"), tree)
    with pytest.raises(ValueError, match=r"child in position 1, wanted at most arity=1"):
        NaryTreeLSTM(2, 3, 1)(np.zeros((3, 2), "float32"), tree)
    with pytest.raises(ValueError, match="arity=0, wanted an integer of at least 1"):
        NaryTreeLSTM(2, 3, 0)
