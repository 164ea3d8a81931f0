"""Elementwise ops: a line each of value and derivatives.

An expression is read two ways. Compiled, it works on scalars: it becomes the forward kernel, the backward kernel and,
in a compiled function, the fused kernels. Python reads it on tensors: it becomes the differentiable backward, hence
every higher derivative. Names in it are those of kernels/float32.py and float64.py, or of ops declared here.

A derivative is written with the cotangent g in it (that is, as the vjp), and may use the result y. At kinks the
subgradient is PyTorch's; `kinks` lists them.

Where a part of a derivative may be infinite, `where` selects the operands of the arithmetic, not its result:
where(zero, 0, g) / where(zero, 1, x), not where(zero, 0, g / x). When the derivative is differentiated again, a result
that is not selected gets a cotangent of 0, and 0 times infinity is NaN.
"""

import numpy as np

from minigrad.arguments import checked
from minigrad.ops.pointwise import elementwise, operator
from minigrad.ops.shape import astype, copy
from minigrad.ops.table import numpy_rules
from minigrad.tensor import Tensor, as_array, foreign, unwrap

ZERO = "where(g == g, 0, g)"  # the derivative of a step: 0 for an infinite cotangent too, where 0 * g were NaN

# Arithmetic

add = elementwise("add(a, b)", "a + b", a="g", b="g", integers=np.add, numpy=np.add, doc="Sum.")
sub = elementwise("sub(a, b)", "a - b", a="g", b="-g", integers=np.subtract, numpy=np.subtract, doc="Difference.")
mul = elementwise(
    "mul(a, b)", "a * b", a="g * b", b="g * a", integers=np.multiply, numpy=np.multiply, doc="Product."
)  # fmt: skip
div = elementwise(
    "div(a, b)", "a / b", a="g / b", b="-(g * y) / b", numpy=np.divide, domain={"a": (-3, 3), "b": (0.5, 3)},
    doc="Quotient; integers become float32.",
)  # fmt: skip
pow = elementwise(
    "pow(a, b)", "pow(a, b)", integers=np.power, numpy=np.power,
    a="where((a == 0) & (b == 0), 0, g) * b * pow(a, where((a == 0) & (b == 0), 1, b) - 1)",
    b="where((a == 0) & (b >= 0), 0, g) * pow(where((a == 0) & (b >= 0), 1, a), b)"
    " * log(where((a == 0) & (b >= 0), 1, a))",
    domain={"a": (0.3, 3), "b": (-2, 2)}, kinks={"a": (0,)},
    doc="Power, a to the b (IEEE 754 pow). At a = b = 0 both subgradients are 0.",
)  # fmt: skip
remainder = elementwise(
    "remainder(a, b)", "a % b", a="g", b="-g * (a // b)", integers=np.remainder, numpy=np.remainder,
    domain={"a": (4.2, 4.8), "b": (1.7, 2.05)}, kinks="a == b",
    doc="a - b floor(a / b), with the sign of b, also of integers. Derivatives where a / b is whole: 1 and -a / b.",
)  # fmt: skip
floor_divide = elementwise(
    "floor_divide(a, b)", "a // b", a=ZERO, b=ZERO, integers=np.floor_divide, numpy=np.floor_divide,
    domain={"a": (4.2, 4.8), "b": (1.7, 2.05)}, kinks="a == b",
    doc="floor(a / b), also of integers. Its derivatives are 0 everywhere.",
)  # fmt: skip
neg = elementwise("neg(x)", "-x", x="-g", integers=np.negative, numpy=np.negative, doc="Negative.")
abs = elementwise(
    "abs(x)", "abs(x)", x="g * sign(x)", integers=np.absolute, numpy=np.absolute, kinks=(0,),
    doc="Absolute value. Subgradient at 0: 0.",
)  # fmt: skip
sign = elementwise(
    "sign(x)", "sign(x)", x=ZERO, integers=np.sign, numpy=np.sign, kinks=(0,), domain=(0.1, 3),
    doc="-1, 0 or 1. Its derivative is 0 everywhere.",
)  # fmt: skip
square = elementwise("square(x)", "x * x", x="2 * g * x", integers=np.square, numpy=np.square, doc="x².")
reciprocal = elementwise("reciprocal(x)", "1 / x", x="-g * y * y", domain=(0.5, 3), doc="1 / x.")

# Exponentials, logarithms, roots

exp = elementwise("exp(x)", "exp(x)", x="g * y", numpy=np.exp, doc="Exponential.")
expm1 = elementwise("expm1(x)", "expm1(x)", x="g * (y + 1)", numpy=np.expm1, doc="exp(x) - 1, exact near 0.")
log = elementwise("log(x)", "log(x)", x="g / x", numpy=np.log, domain=(0.2, 5), doc="Natural logarithm.")
log1p = elementwise(
    "log1p(x)", "log1p(x)", x="g / (1 + x)", numpy=np.log1p, domain=(-0.7, 4), doc="log(1 + x), exact near 0."
)  # fmt: skip
sqrt = elementwise(
    "sqrt(x)", "sqrt(x)", x="g / (2 * y)", numpy=np.sqrt, domain=(0.2, 5), kinks=(0,),
    doc="Square root. Derivative at 0: inf.",
)  # fmt: skip
_ROOT = "sign(x) * pow(abs(x), 0.3333333333333333)"  # which a step of Newton's method makes exact
cbrt = elementwise(
    "cbrt(x)",
    f"where((x == 0) | (x - x != 0), x, {_ROOT} - ({_ROOT} - x / (({_ROOT}) * ({_ROOT}))) / 3)",
    x="g / 3 * pow(abs(y), -2.0)", numpy=np.cbrt, domain=(0.2, 5), kinks=(0,),
    doc="Cube root, of negative numbers too. Derivative at 0: inf.",
)  # fmt: skip
logaddexp = elementwise(
    "logaddexp(a, b)",
    "where(a >= b, a, where(a < b, b, a + b)) + log1p(exp(-abs(where((a == b) & (a - a != 0), 0, a - b))))",
    a="g * sigmoid(a - b)", b="g * sigmoid(b - a)", numpy=np.logaddexp,
    doc="log(exp(a) + exp(b)), without overflow. Derivatives where both are the same infinity: NaN.",
)  # fmt: skip
rsqrt = elementwise("rsqrt(x)", "rsqrt(x)", x="-0.5 * g * y * y * y", domain=(0.3, 5), doc="1 / sqrt(x).")

# Trigonometry

sin = elementwise("sin(x)", "sin(x)", x="g * cos(x)", numpy=np.sin, doc="Sine, of radians.")
cos = elementwise("cos(x)", "cos(x)", x="-g * sin(x)", numpy=np.cos, doc="Cosine, of radians.")
tan = elementwise("tan(x)", "tan(x)", x="g * (1 + y * y)", numpy=np.tan, domain=(-1.2, 1.2), doc="Tangent, of radians.")
arcsin = elementwise(
    "arcsin(x)", "arcsin(x)", x="g * rsqrt(1 - x * x)", numpy=np.arcsin, domain=(-0.9, 0.9), doc="Arc sine, in radians."
)  # fmt: skip
arccos = elementwise(
    "arccos(x)", "arccos(x)", x="-g * rsqrt(1 - x * x)", numpy=np.arccos, domain=(-0.9, 0.9),
    doc="Arc cosine, in radians.",
)  # fmt: skip
arctan = elementwise(
    "arctan(x)", "arctan(x)", x="g / (1 + x * x)", numpy=np.arctan, doc="Arc tangent, in radians."
)  # fmt: skip
arctan2 = elementwise(
    "arctan2(a, b)", "arctan2(a, b)", numpy=np.arctan2,
    a="where((a == 0) & (b == 0), 0, g) * b / where((a == 0) & (b == 0), 1, a * a + b * b)",
    b="-where((a == 0) & (b == 0), 0, g) * a / where((a == 0) & (b == 0), 1, a * a + b * b)",
    domain={"a": (0.3, 3), "b": (0.3, 3)}, doc="Angle of the point (b, a), in radians. Subgradients at (0, 0): 0.",
)  # fmt: skip
sinh = elementwise("sinh(x)", "sinh(x)", x="g * cosh(x)", numpy=np.sinh, doc="Hyperbolic sine.")
arcsinh = elementwise(
    "arcsinh(x)",
    "where(x == 0, x, sign(x) * where(abs(x) < 1e8, log1p(abs(x) + x * x / (1 + sqrt(1 + x * x))), "
    "log(abs(x)) + 0.6931471805599453))",
    x="g * rsqrt(1 + x * x)", numpy=np.arcsinh, doc="Inverse hyperbolic sine.",
)  # fmt: skip
cosh = elementwise("cosh(x)", "cosh(x)", x="g * sinh(x)", numpy=np.cosh, doc="Hyperbolic cosine.")

# Squashing functions and rectifiers

tanh = elementwise("tanh(x)", "tanh(x)", x="g * (1 - y * y)", numpy=np.tanh, doc="Hyperbolic tangent.")
sigmoid = elementwise("sigmoid(x)", "sigmoid(x)", x="g * y * (1 - y)", doc="Logistic sigmoid, 1 / (1 + exp(-x)).")
log_sigmoid = elementwise("log_sigmoid(x)", "log_sigmoid(x)", x="g * sigmoid(-x)", doc="log(sigmoid(x)).")
softplus = elementwise("softplus(x)", "softplus(x)", x="g * sigmoid(x)", doc="log(1 + exp(x)).")
relu = elementwise(
    "relu(x)", "where(x < 0, 0, x)", x="where(x > 0, g, 0)", integers=lambda x: np.maximum(x, 0), kinks=(0,),
    doc="max(x, 0). Subgradient at 0: 0.",
)  # fmt: skip
leaky_relu = elementwise(
    "leaky_relu(x, slope=0.01)", "where(x > 0, x, slope * x)", x="g * where(x > 0, 1, slope)",
    slope="where(x > 0, 0, g) * where(x > 0, 0, x)", kinks={"x": (0,)},
    domain={"x": (-3, 3), "slope": (0.01, 0.5)}, method=False,
    doc="x above 0, slope * x below. Subgradient at 0: the slope.",
)  # fmt: skip
elu = elementwise(
    "elu(x)", "where(x > 0, x, expm1(x))", x="g * where(x >= 0, 1, y + 1)", kinks=(0,),
    doc="x above 0, exp(x) - 1 below (Clevert et al. 2015, arXiv:1511.07289).",
)  # fmt: skip
gelu = elementwise(
    "gelu(x)", "0.5 * x * (1 + erf(x * 0.7071067811865476))",
    x="g * (0.5 * (1 + erf(x * 0.7071067811865476)) + x * 0.3989422804014327 * exp(-0.5 * x * x))",
    doc="x times the normal distribution function (Hendrycks & Gimpel 2016, arXiv:1606.08415).",
)  # fmt: skip
silu = elementwise(
    "silu(x)", "x * sigmoid(x)", x="g * (sigmoid(x) + y * (1 - sigmoid(x)))",
    doc="x sigmoid(x), also called swish (Hendrycks & Gimpel 2016, arXiv:1606.08415).",
)  # fmt: skip
hard_sigmoid = elementwise(
    "hard_sigmoid(x)", "where(x <= -3, 0, where(x >= 3, 1, x / 6 + 0.5))",
    x="where((x > -3) & (x < 3), g / 6, 0)", kinks=(-3, 3), domain=(-5, 5),
    doc="x / 6 + 1/2 between 0 and 1. Subgradient at -3 and 3: 0.",
)  # fmt: skip
hard_tanh = elementwise(
    "hard_tanh(x)", "where(x <= -1, -1, where(x >= 1, 1, x))", x="where((x > -1) & (x < 1), g, 0)", kinks=(-1, 1),
    doc="x between -1 and 1. Subgradient at -1 and 1: 0.",
)  # fmt: skip
erf = elementwise("erf(x)", "erf(x)", x="g * 1.1283791670955126 * exp(-x * x)", doc="Error function.")

# Selection. A NaN operand gives NaN.

maximum = elementwise(
    "maximum(a, b)", "where((a >= b) | (a != a), a, b)", integers=np.maximum, numpy=np.maximum, kinks="a == b",
    a="where(a == b, 0.5 * g, where(a > b, g, 0))", b="where(a == b, 0.5 * g, where(a > b, 0, g))",
    doc="The larger of two. At a tie each gets half of the gradient.",
)  # fmt: skip
minimum = elementwise(
    "minimum(a, b)", "where((a <= b) | (a != a), a, b)", integers=np.minimum, numpy=np.minimum, kinks="a == b",
    a="where(a == b, 0.5 * g, where(a < b, g, 0))", b="where(a == b, 0.5 * g, where(a < b, 0, g))",
    doc="The smaller of two. At a tie each gets half of the gradient.",
)  # fmt: skip
where = elementwise(
    "where(condition, a, b)", "where(condition, a, b)", a="where(condition, g, 0)", b="where(condition, 0, g)",
    booleans=("condition",), integers=np.where, numpy=np.where, method=False,
    doc="a where the condition (bool) holds, b elsewhere.",
)  # fmt: skip
_clip = elementwise(
    "clip(x, low, high)",
    "where(low != low, low, where((high < low) | (high != high), where(x != x, x, high), "
    "where(x < low, low, where(x > high, high, x))))",
    x="where((x >= low) & (x <= high), g, 0)", low="where((x < low) & (low < high), g, 0)",
    high="where((x > high) | (high < low), g, 0)", integers=np.clip, method=False,
    domain={"x": (-3, 3), "low": (-2, -1), "high": (1, 2)}, kinks={"x": (-1.5, 1.5)},
    doc="x limited to [low, high]; high where low > high; NaN where one of the three is. Subgradient at a bound: 1.",
)  # fmt: skip


@checked
def clip(x, low=None, high=None, *, min=None, max=None):
    """x limited to [low, high], either of which may be None: see the op of this name. min, max: NumPy's and PyTorch's
    names of the bounds.

    Examples
    --------
    >>> mg.clip([-2.0, 0.5, 9.0], 0.0, 1.0)
    tensor([0. , 0.5, 1. ], dtype=float32)
    """
    if (low is not None and min is not None) or (high is not None and max is not None):
        raise ValueError("clip: low and min, or high and max, are one bound; give it once")
    low, high = min if low is None else low, max if high is None else high
    dtype = as_array(x).dtype
    least, most = (-np.inf, np.inf)
    if dtype.kind != "f":
        limits = np.iinfo(dtype if dtype.kind in "iu" else np.uint8)
        least, most = limits.min, limits.max
    return _clip(x, least if low is None else low, most if high is None else high)


def _numpy_clip(a, a_min=None, a_max=None, *, min=None, max=None):
    if (a_min is not None and min is not None) or (a_max is not None and max is not None):
        raise ValueError("np.clip: a_min and min, or a_max and max, are one bound; give it once")
    return clip(a, min if a_min is None else a_min, max if a_max is None else a_max)


_numpy_clip.__name__ = "clip"
clip.op = _numpy_clip.op = _clip.op
Tensor.clip, numpy_rules[np.clip] = clip, _numpy_clip


# Steps: derivative 0 wherever there is one.

floor = elementwise(
    "floor(x)", "floor(x)", x=ZERO, integers=np.floor, numpy=np.floor, domain=(0.1, 0.9),
    doc="Largest integer below.",
)  # fmt: skip
ceil = elementwise(
    "ceil(x)", "ceil(x)", x=ZERO, integers=np.ceil, numpy=np.ceil, domain=(0.1, 0.9), doc="Smallest integer above."
)  # fmt: skip
round = elementwise(
    "round(x)", "round(x)", x=ZERO, integers=np.round, numpy=np.round, domain=(0.1, 0.4),
    doc="Nearest integer, halves to even.",
)  # fmt: skip


# Comparisons and logic: results are bool, and no gradient passes.


def _condition(call: str, expression: str, numpy, doc: str):
    return elementwise(call, expression, integers=numpy, numpy=numpy, doc=doc + " No gradient.")


equal = _condition("equal(a, b)", "a == b", np.equal, "Where the two are equal.")
not_equal = _condition("not_equal(a, b)", "a != b", np.not_equal, "Where the two differ.")
less = _condition("less(a, b)", "a < b", np.less, "Where a < b.")
less_equal = _condition("less_equal(a, b)", "a <= b", np.less_equal, "Where a <= b.")
greater = _condition("greater(a, b)", "a > b", np.greater, "Where a > b.")
greater_equal = _condition("greater_equal(a, b)", "a >= b", np.greater_equal, "Where a >= b.")
logical_and = _condition("logical_and(a, b)", "(a != 0) & (b != 0)", np.logical_and, "Where both are true.")
logical_or = _condition("logical_or(a, b)", "(a != 0) | (b != 0)", np.logical_or, "Where one is true.")
logical_xor = _condition("logical_xor(a, b)", "(a != 0) ^ (b != 0)", np.logical_xor, "Where exactly one is true.")
logical_not = _condition("logical_not(x)", "x == 0", np.logical_not, "Where x is false.")
isnan = _condition("isnan(x)", "x != x", np.isnan, "Where x is not a number.")
isfinite = _condition("isfinite(x)", "x - x == 0", np.isfinite, "Where x is neither infinite nor NaN.")


_pow = operator(pow.op)


def _power(a, b):
    return square(a) if type(b) is int and b == 2 else _pow(a, b)


def _of_integers(bits, symbol: str, of_bools=None):
    """`&` and its kin: the logical op of booleans, the bits of integers, which have no gradient and no place in a
    compiled function."""

    def operator(*operands):
        if any(map(foreign, operands)):
            return NotImplemented
        dtypes = [as_array(x).dtype for x in operands]
        if of_bools is not None and all(dtype.kind == "b" for dtype in dtypes):
            return of_bools(*operands)
        wrong = [dtype for dtype in dtypes if dtype.kind not in "iub"]
        if wrong:
            raise TypeError(f"{symbol} wants bool or integer tensors, got {wrong[0]}; compare first, as in x != 0")
        return Tensor(np.asarray(bits(*[unwrap(x) for x in operands])))

    return operator


OPERATORS = {
    "add": operator(add.op), "sub": operator(sub.op), "mul": operator(mul.op), "truediv": operator(div.op),
    "mod": operator(remainder.op), "floordiv": operator(floor_divide.op),
    "pow": _power,
    "and": _of_integers(np.bitwise_and, "&", logical_and), "or": _of_integers(np.bitwise_or, "|", logical_or),
    "xor": _of_integers(np.bitwise_xor, "^", logical_xor),
    "lshift": _of_integers(np.left_shift, "<<"), "rshift": _of_integers(np.right_shift, ">>"),
}  # fmt: skip
for _name, _op in OPERATORS.items():
    setattr(Tensor, f"__{_name}__", _op)
    setattr(Tensor, f"__r{_name}__", lambda self, other, op=_op: op(other, self))
for _name, _op in {
    "eq": operator(equal.op), "ne": operator(not_equal.op), "lt": operator(less.op), "le": operator(less_equal.op),
    "gt": operator(greater.op), "ge": operator(greater_equal.op),
    "neg": neg, "pos": copy, "abs": abs, "invert": _of_integers(np.invert, "~", logical_not),
}.items():  # fmt: skip
    setattr(Tensor, f"__{_name}__", _op)


# NumPy's functions that make floats of integers, or integers of integers, where ours do not.


def _in_floats(op, always=False):
    def rule(*operands):
        arrays = [as_array(x) for x in operands]
        return op(*[astype(x, "float64") if always or a.dtype.kind != "f" else x for x, a in zip(operands, arrays)])

    rule.op, rule.__name__ = op.op, op.__name__
    return rule


def _numpy_reciprocal(x):
    if as_array(x).dtype.kind != "f":
        raise TypeError(
            f"np.reciprocal of {as_array(x).dtype} divides integers; use 1 // t.numpy(), or minigrad.reciprocal"
        )
    return reciprocal(x)


_numpy_reciprocal.op, _numpy_reciprocal.__name__ = reciprocal.op, "reciprocal"
numpy_rules[np.float_power] = _in_floats(pow, always=True)
numpy_rules[np.fabs], numpy_rules[np.rint] = _in_floats(abs), _in_floats(round)
numpy_rules[np.reciprocal] = _numpy_reciprocal
