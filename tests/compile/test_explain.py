"""What `explain` says: a page by default, all on demand, and for each statement of a kernel its op and its line."""

import re

import numpy as np
import pytest
from programs import without_kernels

import minigrad as mg
from minigrad import models
from minigrad.compile.native import Kernel
from minigrad.compile.tasks import Fused


def explained(f, *args):
    return mg.jit(f).explain(*args)


def gated(h, x):
    z = mg.sigmoid(h + x)
    n = mg.tanh(h * x)
    return z * h + (1 - z) * n, mg.sum(n, axis=1)


@pytest.fixture
def report():
    h, xs = mg.tensor(np.ones((2, 3)), requires_grad=True), mg.tensor(np.ones((5, 2, 3)), requires_grad=True)
    return explained(lambda h, xs: mg.scan(gated, h, xs), h, xs)


def test_the_page_of_a_deep_layer_is_one_page():
    layer = models.LSTM(3, 4, num_layers=4, bidirectional=True)
    report = explained(layer, mg.tensor(np.ones((5, 2, 3), "float32")))
    page = str(report)
    assert len(page.splitlines()) < 50
    assert "Loops 1, 3, 5, 7: forward in time, 5 steps" in page  # loops that are alike are told once
    assert "product [2, 4] @ [4, 16], packed once a call  # lstm.py:" in page
    assert len(report.full().splitlines()) > 500


def test_a_call_of_python_and_a_loop_without_a_kernel_are_on_the_page(monkeypatch):
    without_kernels(monkeypatch, "inv")
    xs = mg.tensor(np.eye(3) + np.zeros((4, 3, 3)))
    with pytest.warns(UserWarning, match="no kernel has inv"):
        page = str(explained(lambda xs: mg.scan(lambda c, x: (mg.inv(c + x), None), xs[0], xs)[0], xs))
    assert re.search(r"call of Python: inv, .*test_explain.py:\d+", page)
    empty = mg.tensor(np.ones((4, 0, 3)))
    page = str(explained(lambda xs: mg.scan(lambda c, x: (mg.tanh(c + x), None), xs[0], xs)[0], empty))
    assert "its steps run one by one, no kernel for an empty batch" in page


def test_each_statement_of_a_fused_loop_names_its_op_and_the_line_of_the_cell(report):
    first = gated.__code__.co_firstlineno
    for loop in report.loops:
        found = re.findall(r"\n +v\d+ = .*  # (\w+), test_explain.py:(\d+)(?=\n)", loop.source)
        assert len(found) > 3
        assert len(found) == len(re.findall(r"\n +v\d+ = ", loop.source))
        assert {int(line) - first for _, line in found} <= {1, 2, 3}
    assert ("tanh", str(first + 2)) in re.findall(r"# (\w+), test_explain.py:(\d+)(?=\n)", report.loops[0].source)


def test_notes_do_not_change_the_text_that_is_compiled(report, monkeypatch):
    texts = []
    init = Kernel.__init__

    def noted(self, *args):
        init(self, *args)
        texts.append(self.emitter.text)
        assert any(isinstance(task, Fused) for task in self.schedule.tasks)

    monkeypatch.setattr(Kernel, "__init__", noted)
    h, xs = mg.tensor(np.ones((2, 3)), requires_grad=True), mg.tensor(np.ones((5, 2, 3)), requires_grad=True)
    loops = explained(lambda h, xs: mg.scan(gated, h, xs), h, xs).loops
    for text, loop in zip(texts, loops, strict=True):
        without = re.sub(r"\n +# [^\n]*test_explain.py:[^\n]*(?=\n)", "", loop.source)  # notes on lines of their own
        assert re.sub(r"  # \w+, test_explain.py:\d+", "", without) == text


def test_passes_that_changed_nothing_are_in_the_full_text_alone(report):
    page, full = str(report), report.full()
    assert "merge products" not in page
    assert "merge products" in full
    assert "hoist" in full


@pytest.mark.parametrize("value, printed", [("1", True), ("0", False), ("", False)])
def test_an_environment_variable_prints_the_program_after_every_pass(value, printed, monkeypatch, capsys):
    monkeypatch.setenv("MINIGRAD_PRINT_PASSES", value)
    x = mg.tensor([1.0, 2.0])
    assert mg.jit(lambda x: mg.exp(mg.swapaxes(mg.swapaxes(x.reshape(1, 2), 0, 1), 0, 1)).sum())(x).item() > 0
    said = capsys.readouterr().err
    assert ("--- traced\nv0 = input float32[2]" in said) == printed
    assert ("nothing changed" in said) == printed


def test_small_ops_outside_of_loops_are_kernels_in_one_thread():
    W = mg.tensor(np.ones((64, 192), "float32"))
    x = mg.tensor(np.ones((128, 64), "float32"))
    report = mg.jit(lambda x: mg.tanh(x @ W) * 2 + mg.sigmoid(x @ W)).explain(x)
    assert not report.loops and len(report.clusters) == 1 and len(report.clusters[0].tasks) == 2
    assert not report.clusters[0].divided  # each thread would compute all of it
    assert "small ones in 1 of the kernels below" in str(report) and "sigmoid" in report.full()
