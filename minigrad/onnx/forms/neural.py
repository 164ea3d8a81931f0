"""Softmax, and normalisation with a weight and a bias."""

from minigrad.ir.rules.neural import affine_composed, affine_pull_composed
from minigrad.onnx.forms.form import Composed


def softmax(g, v, x, axis):
    if len(axis) == 1:
        return g.node("Softmax", x, axis=axis[0])
    e = g.node("Exp", centred(g, x, axis))
    return g.node("Div", e, g.node("ReduceSum", e, g.sizes(axis)))


def log_softmax(g, v, x, axis):
    if len(axis) == 1:
        return g.node("LogSoftmax", x, axis=axis[0])
    d = centred(g, x, axis)
    return g.node("Sub", d, g.node("Log", g.node("ReduceSum", g.node("Exp", d), g.sizes(axis))))


def centred(g, x: str, axis) -> str:
    return g.node("Sub", x, g.node("ReduceMax", x, g.sizes(axis)))


def affine(o, v, x, weight, bias, axis, eps):
    return affine_composed(o, x, weight, bias, axis, eps)


def affine_pull(o, v, g, x, weight, axis, eps):
    return affine_pull_composed(o, g, x, weight, axis, eps)


FORMS = {
    "softmax": softmax, "log_softmax": log_softmax,
    "standardize_affine": Composed(affine), "standardize_affine_pull": Composed(affine_pull),
}  # fmt: skip
