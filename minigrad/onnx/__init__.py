"""A function or a layer as an ONNX model, which runs without Python: `mg.export(f, args, path)`.

The function is traced as `jit` traces it (minigrad/compile/record.py), its sizes as symbols where the model is to take
any size (dynamic.py). The program in its canonical forms, before any other pass, is written value by value
(program.py): an op by its form (forms/, a file a family as in minigrad/ops), an elementwise op by its expression
(expressions.py), a loop as a `Scan`, a `Loop` or an `If` (loops.py). model.py puts a model together; graph.py holds
nodes, constants and sizes.
"""

from collections.abc import Callable, Mapping, Sequence

from minigrad import disk
from minigrad.arguments import checked

__all__ = ["export"]


@checked
def export(
    f: Callable, args, path, kwargs: Mapping | None = None, *, dynamic_axes: Mapping | None = None,
    output_names: Sequence | None = None,
):  # fmt: skip
    """Write a function, a layer or a model as an ONNX file, which onnxruntime and others run without Python.

        mg.export(layer, (x,), "layer.onnx")            # x (T, B, features): the model takes any T and B
        mg.export(layer, (x,), "layer.onnx", {"lengths": lengths}, output_names=("output", "state"))

    f: traced as `jit` traces it, on tensors of the shapes of the example, args and kwargs: tensors or arrays in nested
    tuples, lists and dicts, which are the model's inputs, and Python values, which are part of it. Loops (`mg.scan`, a
    `Recurrent` layer, `mg.while_loop`) are loops of ONNX, `Scan` or `Loop`, branches (`mg.cond`) are `If`. Modules are
    exported as in `eval()`, dropout passes everything through.

    dynamic_axes: which axes the model takes in any size, as of torch.onnx.export, {"x": {0: "T", 1: "B"}, "lengths":
    {0: "B"}}; what has one name has one size. By default all that f leaves open and that have 2 or more in the example:
    those that Python asks for the number of (`range(x.shape[0])`), or that must fit a parameter, are fixed.
    output_names: one for each result; those of a nested result follow as in Python, "state[0]".

    Inputs are called as f's parameters ("x", "state[0]"), outputs "output", or "output[0]", "output[1]"; parameters
    have their names in the state dict; of a function that closes over a module `model`, they begin with "model.".

    The file has the ops of ONNX's opset 18. Returns the onnx.ModelProto. Wants the onnx package
    (pip install 'minigrad-rnn[onnx]').

    Raises NotImplementedError where ONNX has nothing for an op, with the op and its line; ValueError for an axis of
    dynamic_axes that f fixes; and what `jit` raises of functions that cannot be traced.
    """
    require()
    if not isinstance(args, (tuple, list)):
        raise TypeError(f"export: args is a {type(args).__name__}, wanted a tuple, (x,) of one argument")
    from minigrad.onnx.model import model_of

    model = model_of(f, tuple(args), dict(kwargs or {}), dynamic_axes, output_names)
    disk.replace(path, model.SerializeToString())
    return model


def require() -> None:
    """Raise ImportError, with the cure, where the onnx package is not installed."""
    try:
        import onnx  # noqa: F401
    except ImportError as error:
        raise ImportError("export wants the onnx package: pip install 'minigrad-rnn[onnx]'") from error
