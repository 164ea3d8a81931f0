"""A function or a layer as an ONNX model, which runs without Python: `mg.export(f, args, path)`.

The function is traced as `jit` traces it (minigrad/compile/record.py), its sizes as symbols where the model is to take
any size (dynamic.py). The program in its canonical forms, before any other pass, is written value by value
(program.py): an op by its form (forms/, a file a family as in minigrad/ops), an elementwise op by its expression
(expressions.py), a loop as a `Scan`, a `Loop` or an `If` (loops.py). model.py puts a model together; graph.py holds
nodes, constants and sizes.
"""

try:
    import onnx as _onnx  # noqa: F401
except ImportError as error:
    raise ImportError("export wants the onnx package: pip install 'minigrad-rnn[onnx]'") from error

from minigrad.onnx.model import export

__all__ = ["export"]
