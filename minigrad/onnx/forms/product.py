"""Products of matrices."""

from onnx import TensorProto


def matmul(g, v, a, b):
    return g.node("MatMul", a, b)


def matmul_bfloat16(g, v, a, b):
    rounded = [g.cast(g.node("Cast", x, to=TensorProto.BFLOAT16), v.dtype) for x in (a, b)]
    return g.node("MatMul", *rounded)


FORMS = {"matmul": matmul, "matmul_bfloat16": matmul_bfloat16}
