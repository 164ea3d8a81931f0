"""Whether a program is well formed: each value has the dtype and the shape that its op makes of its inputs."""

from minigrad.ir.loop import Loop
from minigrad.ir.number import Number
from minigrad.ir.rewrite import order_of
from minigrad.ir.trace import Draw, Pick, Value
from minigrad.ops.pointwise import Elementwise
from minigrad.ops.table import Spec


def spec(x):
    return None if x is None else (tuple(x.shape), x.dtype)


def check(roots) -> None:
    """Raise AssertionError for the first value that is not, here and in the loops' bodies."""
    for v in order_of(roots):
        if v.op is None or v.op is Draw:
            continue
        if v.op is Pick:
            assert spec(v) == spec(v.inputs[0].shape[v.params]), v
        elif isinstance(v.op, Loop):
            check_loop(v)
        else:
            check_op(v)


def check_op(v: Value) -> None:
    if isinstance(v.op, Elementwise):
        dtypes = {x.dtype for x, name in zip(v.inputs, v.op.inputs) if name not in v.op.booleans}
        assert len(dtypes) == 1, f"{v} of operands of {dtypes}"
        wanted = v.op.shape_rule(*v.inputs)
    else:
        assert not any(isinstance(x, Number) for x in v.inputs), v
        wanted = v.op.specs(*v.inputs, **v.params)
    if isinstance(wanted, list):
        assert [spec(x) for x in v.shape] == [spec(x) for x in wanted], v
    else:
        assert spec(v) == spec(wanted), f"{v}: its op makes {wanted}"


def check_loop(v: Value) -> None:
    loop = v.op
    assert [spec(x) for x in v.shape] == [spec(x) for x in loop.specs()], v
    for inner, outside in zip(loop.inputs, v.inputs, strict=True):
        wanted = Spec((loop.length, *inner.shape), inner.dtype) if inner in loop.streams else inner
        assert spec(outside) == spec(wanted), f"{v} reads {outside} as {inner}"
    for carry, new in zip(loop.carries, loop.carry_outs, strict=True):
        assert spec(carry) == spec(new), f"{v}: the carry {carry} becomes {new}"
    found = {x for x in order_of(loop.outputs) if x.op is None}
    assert found <= set(loop.inputs), f"{v} reads {found - set(loop.inputs)}"
    check(loop.outputs)
