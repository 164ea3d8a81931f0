import numpy as np

import minigrad as mg
from minigrad.models import Recurrent
from minigrad.models.lstm import LSTMCell
from minigrad.observe import Observer


class Log(Observer):
    def __init__(self):
        self.kernels, self.pulls, self.values, self.loops, self.depth = [], [], [], [], 0

    def kernel(self, op, run, arrays):
        self.kernels.append((op.name, self.depth))
        return run()

    def pull(self, node, run, cotangent):
        self.depth += 1
        pulled = run()
        self.depth -= 1
        self.pulls.append(node.op.name)
        return pulled

    def loop(self, kernel, run, arrays):
        self.loops.append(kernel)
        return run()

    def recorded(self, tensor):
        self.values.append((tensor._node, tensor.numpy().copy()))


def run():
    x = mg.tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)
    w = mg.tensor(np.ones((3, 3)), requires_grad=True)
    y = mg.tanh(x @ w).sum()
    y.backward()
    return y.item(), x.grad.numpy(), w.grad.numpy()


def test_an_observer_sees_every_kernel_and_every_node_and_changes_nothing():
    before = run()
    with Log() as log:
        watched = run()
    for a, b in zip(before, watched):
        np.testing.assert_array_equal(a, b)
    assert [name for name, depth in log.kernels if not depth] == ["matmul", "tanh", "sum"]
    assert {"tanh", "matmul"} <= {name for name, depth in log.kernels if depth}
    assert log.pulls == ["sum", "tanh", "matmul"]
    assert [node.op.name for node, _ in log.values if node.op] == ["matmul", "tanh", "sum"]
    seen = len(log.kernels)
    run()
    assert len(log.kernels) == seen


def test_large_elementwise_ops_are_one_kernel():
    x = mg.tensor(np.ones((1 << 20,), np.float32), requires_grad=True)
    with Log() as log:
        mg.exp(x).backward(mg.tensor(np.ones_like(x.numpy())))
    assert log.kernels == [("exp", 0), ("exp", 1)]


def test_second_derivatives_and_checkpoints_visit_each_node_once():
    x = mg.tensor(np.array([0.3, 0.4]), requires_grad=True)
    with Log() as log:
        (mg.grad(lambda x: mg.grad(lambda x: mg.tanh(x).sum())(x).sum())(x)).numpy()
    assert log.pulls.count("sum") == 2
    with Log() as log:
        mg.checkpoint(lambda x: mg.tanh(x).sum())(x).backward()
    assert log.pulls.count("tanh") == 1


def test_a_compiled_loop_is_seen_as_its_kernels():
    layer = mg.jit(Recurrent(LSTMCell(3, 4)))
    x = mg.tensor(np.ones((5, 2, 3), np.float32))
    layer(x)[0].sum().backward()
    with Log() as log:
        layer(x)[0].sum().backward()
    assert [kernel.loop.reverse for kernel in log.loops if not kernel.loop.is_cluster] == [False, True]
    assert len(log.pulls) == 2
