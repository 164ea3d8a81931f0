"""Ops on matrices: ONNX has the determinant alone."""

from minigrad.onnx.forms.form import Without


def det(g, v, x):
    return g.node("Det", x)


WHY = "ONNX has no op for it; compute it outside and pass the result, or, of a constant, before the export"
FORMS = {
    "det": det,
    **dict.fromkeys(["inv", "solve", "cholesky", "cofactor", "slogdet", "svd", "eigh", "qr", "pinv"], Without(WHY)),
}
