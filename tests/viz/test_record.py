import math

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pages import cell_and_input

import minigrad as mg
from minigrad import nn
from minigrad.models import Recurrent
from minigrad.models.gradient_flow import gradient_flow
from minigrad.models.tasks.cells import CELLS
from minigrad.observe import Observer
from minigrad.ops.table import table
from minigrad.sites import line_number
from minigrad.tape import Leaf, Node, Pick, pull_back, tape_of
from minigrad.viz.declared import line_text, vjp_text
from minigrad.viz.layout import STEP, Layout
from minigrad.viz.page import flow_of
from minigrad.viz.record import OUTSIDE, leaves_of, record, statistics
from minigrad.viz.show import Run


@given(
    hnp.arrays(
        st.sampled_from([np.float32, np.float64]),
        hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
        elements=st.one_of(st.floats(-3, 3, width=32), st.sampled_from([0.0, math.nan, math.inf, -math.inf, 3e38])),
    )
)
def test_statistics_are_those_of_the_finite_numbers(a):
    low, mean, high, norm, zeros, finite = statistics(a)
    numbers = [float(x) for x in a.ravel() if math.isfinite(x)]
    if not a.size:
        assert all(map(math.isnan, statistics(a)))
        return
    assert finite == len(numbers) / a.size
    assert zeros == pytest.approx(sum(x == 0 for x in a.ravel()) / a.size)
    if numbers:
        assert (low, high) == (min(numbers), max(numbers))
        assert mean == pytest.approx(math.fsum(numbers) / len(numbers), rel=1e-9, abs=1e-12 * max(map(abs, numbers)))
        assert norm == pytest.approx(math.hypot(*numbers), rel=1e-9)
    else:
        assert all(map(math.isnan, (low, mean, high, norm)))


def test_statistics_of_what_would_overflow():
    assert statistics(np.array([1e300, -1e300]))[3] == pytest.approx(math.sqrt(2) * 1e300)


class Pulled(Observer):
    """The nodes that are pulled back, in order, with statistics of their cotangents."""

    def __init__(self):
        self.nodes, self.cotangents = [], []

    def pull(self, node, run, cotangent):
        self.nodes.append(node)
        if isinstance(cotangent, list):
            self.cotangents.append(None)
        else:
            value = cotangent if isinstance(cotangent, np.ndarray) else cotangent.value()
            self.cotangents.append(statistics(value))
        return run()


@pytest.mark.parametrize("name", CELLS)
def test_every_node_is_there_and_backward_goes_as_pull_back_does(name):
    cell, x = cell_and_input(name)
    before = [p.numpy().copy() for p in cell.parameters()]
    run = Run(cell, (x,))
    tape = run.tape
    root = tape.nodes[-1]
    assert tape.nodes == tape_of([root])
    with Pulled() as pulled:  # its graph has been kept
        pull_back([root], [np.ones((), root.dtype)], keep=True)
    visited = [tape.nodes[k] for k in tape.record.order]
    assert visited == sorted(visited, key=lambda node: -node.seq)
    assert [node for node in visited if type(node) is Node] == pulled.nodes
    for node, g in zip(pulled.nodes, pulled.cotangents):
        assert g == tape.record.recorder.cotangents.get(node)
    assert all(p.grad is None and (p.numpy() == b).all() for p, b in zip(cell.parameters(), before))


@pytest.mark.parametrize("name", CELLS)
def test_values_and_gradients_are_those_of_the_cell_run_by_hand(name):
    cell, x = cell_and_input(name)
    cell.eval()
    tape = Run(cell, (x,)).tape
    output, _, (steps,) = Recurrent(cell)(mg.tensor(x), return_states=True)
    output[-1].square().sum().backward()
    seen = tape.record.recorder
    by_name = {tape.record.names[k]: node for k, node in enumerate(tape.nodes) if k in tape.record.names}
    for label, parameter in cell.named_parameters():
        if parameter.grad is not None:
            np.testing.assert_array_equal(seen.values[by_name[label]], statistics(parameter.numpy()))
            np.testing.assert_allclose(seen.cotangents[by_name[label]], statistics(parameter.grad.numpy()), rtol=1e-5)
    for label, gate in steps.gates.items():
        nodes = [node for k, node in enumerate(tape.nodes) if tape.record.names.get(k) == label]
        expected = {statistics(one) for one in gate.numpy()}
        assert nodes == [] or {seen.values[node] for node in nodes} <= expected


@pytest.mark.parametrize("name", ["lstm", "gru", "rnn", "clockwork", "convlstm"])
def test_gradient_through_time_is_that_of_gradient_flow(name):
    cell, x = cell_and_input(name, steps=5)
    norms = mg.tree.flatten(gradient_flow(cell, x, lambda y: y[-1].square().sum()).norms)[0]
    found = flow_of(Run(cell, (x,)).tape)
    assert [line["name"] for line in found] == (["h", "c"] if "lstm" in name else ["h"])
    # c reaches the loss through the h of its own step too; gradient_flow holds that h fixed
    np.testing.assert_allclose(found[0]["norms"], norms[0][1:], rtol=1e-4)


def test_saturation_is_the_share_of_places_that_pass_on_less_than_a_tenth():
    x = mg.tensor(np.array([-9.0, -2.0, 0.0, 1.0, 2.5]), requires_grad=True)
    for op, least in ((mg.tanh, 0.1), (mg.sigmoid, 0.1)):
        trace, _ = record(lambda x: (op(x).sum(), None), (x,), leaves_of(x=x))
        y = op(x).numpy()
        slope = 1 - y * y if op is mg.tanh else y * (1 - y)
        (node,) = [node for node in trace.nodes if node.op is op.op]
        assert trace.recorder.saturated[node] == np.mean(slope < least)
    trace, _ = record(lambda x: ((2 * x + x * x).sum(), None), (x,), leaves_of(x=x))
    assert not trace.recorder.saturated


def test_steps_are_counted_by_loop_and_nodes_of_steps_are_alike():
    _, x = cell_and_input("lstm", steps=4)
    tape = Run(Recurrent(CELLS["lstm"], 3, 6, num_layers=2, bidirectional=True), (x,)).tape
    places = tape.record.places
    assert {loop for loop, _ in places} == {-1, 0, 1, 2, 3}
    assert {t for loop, t in places if loop >= 0} == set(range(4))
    for loop in range(4):
        of_step = [{tape.layout.keys[k] for k, place in enumerate(places) if place == (loop, t)} for t in range(4)]
        assert all(of_step[t] == of_step[1] for t in (1, 2))
    # no two nodes of a step are the same one
    steps = [(place, key) for place, key in zip(places, tape.layout.keys) if place != OUTSIDE]
    assert len(steps) == len(set(steps))
    assert tape.record.recorder.reverse == [False, True, False, True]


def test_the_same_function_in_two_loops_is_two_loops():
    w = mg.tensor(np.ones(2), requires_grad=True)

    def step(h, x):
        h = mg.tanh(h * w + x)
        return h, h

    def f(x):
        h, _ = mg.scan(step, mg.tensor(np.zeros(2)), x)
        h, _ = mg.scan(step, h, x, reverse=True)
        return h.sum(), None

    trace, _ = record(f, (mg.tensor(np.ones((2, 2))),), leaves_of(w=w))
    assert {place for place in trace.places if place != OUTSIDE} == {(0, 0), (0, 1), (1, 0), (1, 1)}


@pytest.mark.parametrize("name", CELLS)
def test_no_two_nodes_lie_on_each_other(name):
    cell, x = cell_and_input(name, steps=2)
    at = Run(cell, (x,)).tape.layout
    for block in range(3):
        spots = [(at.step[k], at.x[k], at.y[k]) for k in np.flatnonzero(at.block == block)]
        rows: dict = {}
        for step, lane, row in spots:
            assert -1e-6 <= lane <= at.widths[block] - 1 + 1e-6 and 0 <= row <= at.rows - 1
            rows.setdefault((step, row), []).append(lane)
        assert all(np.diff(sorted(lanes)).min(initial=1) >= 1 - 1e-6 for lanes in rows.values())


def test_a_step_flows_down():
    cell, x = cell_and_input("lstm")
    tape = Run(cell, (x,)).tape
    at: Layout = tape.layout
    for k in range(len(tape)):
        for p in tape.record.parents(k):
            if at.block[k] == at.block[p] == STEP and at.step[k] == at.step[p]:
                assert at.y[p] < at.y[k]


@pytest.mark.parametrize("name", [name for name, op in table.items() if op.vjps])
def test_every_op_has_its_vjp_in_words(name):
    for _, text in vjp_text(table[name]):
        assert text and "<" not in text.replace("<=", "").replace(" < ", ""), text
        compile(text, name, "exec")


def test_the_line_of_a_node():
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    y = mg.exp(x)  # this line
    assert line_text(y._node.site) == "y = mg.exp(x)  # this line"
    assert f":{line_number(y._node.site)}:" in y._node.line


def test_custom_vjps_checkpoints_and_jitted_calls_are_nodes_like_others():
    @mg.custom_vjp
    def half(x):
        return x / 2

    half.defvjp(lambda x: (x / 2, None), lambda _, g: (g / 2,))
    linear = nn.Linear(2, 2)
    jitted = mg.jit(lambda x: mg.sin(linear(x)))
    checked = mg.checkpoint(lambda x: mg.cos(x) * 2)
    x = mg.tensor(np.ones((3, 2), np.float32), requires_grad=True)
    trace, _ = record(lambda x: (checked(half(jitted(x))).sum(), None), (x,), leaves_of(x=x, linear=linear))
    names = [node.op.name for node in trace.nodes if type(node) is Node]
    assert [name.split(" of ")[0] for name in names] == ["jit", "custom_vjp", "checkpoint", "sum"]
    for k, node in enumerate(trace.nodes):
        assert node in trace.recorder.cotangents or trace.several(k)
        if type(node) in (Leaf, Pick):
            assert node in trace.recorder.values
        else:
            assert vjp_text(node.op)


@pytest.mark.parametrize(
    "f, error",
    [(lambda x: (x * 2, None), "wanted a scalar"), (lambda x: (mg.tensor(1.0), None), "requires a gradient")],
)
def test_what_cannot_be_gone_back_from_is_refused(f, error):
    with pytest.raises(ValueError, match=error):
        record(f, (mg.tensor([1.0, 2.0], requires_grad=True),), {})
