"""Products of matrices."""


def matmul(g, v, a, b):
    return g.node("MatMul", a, b)


FORMS = {"matmul": matmul}
