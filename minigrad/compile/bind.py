"""From a program whose sizes are not fixed to the one for the sizes of a call.

Shapes, parameters, lengths and the numbers of kernels are expressions of symbols (minigrad/symbolic). What is compiled
serves all their values; to bind it is to put the numbers in their place. `at` replaces each Size by what it is then
(symbolic.evaluator).
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from minigrad.compile.tasks import Call, Complaint, View
from minigrad.ir.loop import Loop
from minigrad.ir.trace import Value


def value_at(value: Value, at: Callable) -> Value:
    """A value for these sizes, of the same inputs."""
    made = value.of(value.inputs, shape=at(value.shape) if value.dtype is not None else value.shape)
    made.params = at(value.params)
    return made


def call_at(value: Value, call: Any, call_of: Callable, at: Callable) -> Any:
    """What computes a value, for these sizes. call_of: makes it of a value that is not a loop."""
    return call.bound(at) if isinstance(value.op, Loop) else call_of(value_at(value, at))


def task_at(task: Call | Complaint, at: Callable) -> Call | Complaint:
    """What a kernel asks Python to do, for these sizes."""
    if isinstance(task, Complaint):
        return replace(task, size=at(task.size))

    def view_at(x):
        if not isinstance(x, View):
            return x
        parts = {name: at(getattr(x, name)) for name in ("offset", "shape", "strides", "rows", "slices")}
        return replace(x, **parts)

    reads = [(view_at(x), by_row) for x, by_row in task.reads]
    writes = [(k, view_at(view)) for k, view in task.writes]
    return replace(task, value=value_at(task.value, at), reads=reads, writes=writes)
