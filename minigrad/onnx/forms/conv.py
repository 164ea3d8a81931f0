"""Convolutions of images."""

import operator

from minigrad.ir.rules.conv import how
from minigrad.onnx.forms.form import Without
from minigrad.ops.conv import several


def geometry(v, weight_shape) -> dict:
    """Attributes, which are numbers: a size that they follow from is asked for it, and then fixed."""
    stride, ((top, bottom), (left, right)), dilation, groups = how(v, weight_shape)
    pads = [operator.index(n) for n in (top, left, bottom, right)]
    return {"strides": list(stride), "pads": pads, "dilations": list(dilation), "group": groups}


def conv2d(g, v, x, weight, bias=None, **params):
    return g.node("Conv", x, weight, bias, **geometry(v, v.inputs[1].shape))


def conv_transpose2d(g, v, x, weight, bias=None, **params):
    """output_padding is so much less padding behind, and then zeros, to which the bias is still added: its own
    attribute has to be smaller than the stride."""
    extra, attributes = several(params["output_padding"], "output_padding", 0), geometry(v, v.inputs[1].shape)
    top, left, *ends = attributes["pads"]
    behind = [max(0, more - end) for more, end in zip(extra, ends)]
    attributes["pads"] = [top, left, *[max(0, end - more) for more, end in zip(extra, ends)]]
    if not any(behind):
        return g.node("ConvTranspose", x, weight, bias, **attributes)
    made = g.node("Pad", g.node("ConvTranspose", x, weight, **attributes), g.sizes([0] * 6 + behind))
    return made if bias is None else g.node("Add", made, g.node("Unsqueeze", bias, g.sizes([1, 2])))


FORMS = {
    "conv2d": conv2d,
    "conv_transpose2d": conv_transpose2d,
    "conv2d_weight": Without("ONNX has no gradient of a convolution's weight; export what needs no such gradient"),
}
