"""Every published cell of benchmarks/zoo compiles: the same gradients as without jit, and loops of kernels alone."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from minigrad.compile.explain import explain

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def loaded(name: str, path: Path):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


sys.path.insert(0, str(BENCHMARKS))
zoo = loaded("zoo", BENCHMARKS / "zoo" / "__init__.py")
benchmark = loaded("zoo_benchmark", BENCHMARKS / "zoo.py")
sys.path.remove(str(BENCHMARKS))
layer_of = zoo.frameworks.minigrad()[1]

# What falls short, and why. A cell that no longer does must go from here: the test fails if one stands here in vain.
ONE_THREAD: tuple[str, ...] = ()


def drawn(cell, dtype: str):
    """(parameters, x, state) as tensors; parameters and x are differentiated."""
    numbers = cell.numbers(3, 2, 16, 16, dtype=dtype)

    def leaf(a):
        return mg.tensor(a, requires_grad=a.dtype.kind == "f")

    return *mg.tree.map(leaf, (numbers.parameters, numbers.x)), mg.tree.map(mg.tensor, numbers.state)


def gradients(layer, parameters, x, state) -> dict[str, np.ndarray]:
    """The output and the gradients of a sum of its squares, by name."""
    leaves = parameters | {f"x[{k}]": a for k, a in enumerate(mg.tree.flatten(x)[0]) if a.requires_grad}
    for a in leaves.values():
        a.grad = None
    y = layer(parameters, x, state)
    (y * y).sum().backward()
    return {"output": y.numpy()} | {name: a.grad.numpy() for name, a in leaves.items() if a.grad is not None}


@pytest.mark.parametrize("name", zoo.CELLS)
def test_a_published_cell_compiles(name):
    cell = zoo.CELLS[name]
    parameters, x, state = drawn(cell, "float64")
    layer = layer_of(cell)
    jitted = mg.jit(layer)
    ours, wanted = gradients(jitted, parameters, x, state), gradients(layer, parameters, x, state)
    assert ours.keys() == wanted.keys()
    for key, value in wanted.items():
        np.testing.assert_allclose(ours[key], value, rtol=1e-9, atol=1e-11 * (1 + abs(value).max()), err_msg=key)
    (compiled,) = [one for kind in jitted.known.values() for one in kind]
    found = benchmark.kernels(explain(name, compiled, []))
    assert found["forward"]
    assert not found["steps"]
    assert not found["calls"]
    assert all(found["divided"]) != (name in ONE_THREAD or cell.mixes is not None), found["divided"]


@pytest.mark.heavy
@pytest.mark.parametrize("name", [name for name, cell in zoo.CELLS.items() if cell.smooth])
def test_the_gradient_of_a_published_cell_is_that_of_its_value(name):
    cell = zoo.CELLS[name]
    numbers = cell.numbers(2, 4 if cell.mixes else 2, 16, 16, dtype="float64")
    layer = layer_of(cell)
    state = mg.tree.map(mg.tensor, numbers.state)
    # of what is divided by the deviation of four numbers, wider differences are not close enough
    assert mg.testing.gradcheck(lambda p, x: layer(p, x, state), [numbers.parameters, numbers.x], eps=2e-6)
