"""Trigonometry of one float32: functions that LLVM can vectorise, in the manner of float32.py, which says what the
errors in the docstrings are."""

import numpy as np

from minigrad.kernels.float32 import HALF, ONE, QUARTER, ROUNDER_64, TWO, ZERO, bits_of, float_of, horner
from minigrad.kernels.intrinsics import fma

PI_HIGH = np.float32(3.1415927)
PI_LOW = np.float32(-8.742278e-08)

# sin(r) / r - 1, cos(r) and (tan(r) / r - 1) / r^2 in powers of r^2, for |r| <= 0.835
SIN = tuple(np.float32([-0.00019472007, 0.008331832, -0.1666665, 0.0]))
COS = tuple(np.float32([2.43915e-05, -0.0013886947, 0.041666638, -0.5, 1.0]))
TAN = tuple(np.float32([
    0.0051501743, -0.0015388875, 0.0121685555, 0.020749142, 0.054166827, 0.13331687, 0.3333338,
]))  # fmt: skip
# (arcsin(x) / x - 1) / x^2 for |x| <= 1/2, and the same of arctan for |x| <= 1, in powers of x^2
ARCSIN = tuple(np.float32([0.037690554, 0.014317177, 0.03183883, 0.044513382, 0.07500522, 0.1666666]))
ARCTAN = tuple(np.float32([
    0.001134518, -0.0074253553, 0.022777613, -0.044983257, 0.06763649, -0.08821462, 0.11061233, -0.14280343, 0.19999716,
    -0.33333328,
]))  # fmt: skip


def reduce_angle(x, quarter_turns):
    """x = n pi/2 + r, |r| <= 0.835, for any size of x: n + quarter_turns as an int32, right modulo 4; r as a float64.

    x 2/pi = n + fraction. The leading bits of 2/pi contribute only multiples of 4 to the product with a large x, whose
    last bit is worth that much. They are left out, and the bits that follow take their place: `high` and `low` hold 106
    bits, beginning where the size of x says. `fma` loses none of the product's bits, so fraction is right to 2^-56; no
    float32 beyond 1 comes closer to a multiple of pi/2 than 2^-30.
    """
    a = np.abs(x)
    high, low = 0.6366197723675813, 7.166494911215068e-17
    high, low = (2.0449648759307553e-07, 6.074026489649846e-24) if a >= np.float32(2.0**47) else (high, low)
    high, low = (1.450456426923918e-14, 5.778727033816148e-30) if a >= np.float32(2.0**69) else (high, low)
    high, low = (1.273803801490585e-20, 1.319072090304303e-36) if a >= np.float32(2.0**91) else (high, low)
    high, low = (2.6500404813346476e-27, 1.1588713353428143e-43) if a >= np.float32(2.0**113) else (high, low)
    wide = np.float64(x)
    rounder = ROUNDER_64 + quarter_turns
    shifted = fma(wide, high, rounder)
    fraction = fma(wide, low, fma(wide, high, -(shifted - rounder)))  # not rounder - shifted: sin(-0) is -0
    return np.int32(np.float64(shifted).view(np.int64)), fraction * np.float64(np.pi / 2)


def sin_of_parts(n, r):
    """sin(n pi/2 + r): the sine or cosine of r, as n is even or odd, negated where n has its second bit set."""
    r = np.float32(r)
    square = r * r
    sine = fma(r, horner(square, SIN), r)
    result = sine if (n & np.int32(1)) == np.int32(0) else horner(square, COS)
    return float_of(bits_of(result) ^ ((n & np.int32(2)) << np.int32(30)))


def sin(x):
    """sin(n pi/2 + r), by polynomials in r of degree 7 and 8. Worst error 1.58 ULP."""
    n, r = reduce_angle(x, 0.0)
    return sin_of_parts(n, r)


def cos(x):
    """sin(x + pi/2). Worst error 1.59 ULP."""
    n, r = reduce_angle(x, 1.0)
    return sin_of_parts(n, r)


def tan(x):
    """tan r or -1 / tan r, by a polynomial of degree 15 whose last step is taken in float64. Worst error 1.65 ULP."""
    n, r = reduce_angle(x, 0.0)
    square = r * r
    tangent = np.float32(fma(r * square, np.float64(horner(np.float32(square), TAN)), r))
    result = tangent if (n & np.int32(1)) == np.int32(0) else -ONE / tangent
    return result if x != ZERO else x


def split_arcsin(a):
    """For 0 <= a <= 1, root and rest with root + rest = arcsin(a) if a < 1/2, otherwise arcsin(sqrt((1 - a) / 2))."""
    square = a * a if a < HALF else (ONE - a) * HALF
    root = a if a < HALF else np.sqrt(square)
    return root, root * square * horner(square, ARCSIN)


def arcsin(x):
    """A polynomial up to 1/2, from there pi/2 - 2 arcsin(sqrt((1 - x) / 2)). Worst error 1.31 ULP.

    One half of pi/2 is added last: next to the other half the first, large term loses nothing.
    """
    a = np.abs(x)
    root, rest = split_arcsin(a)
    large = fma(-TWO, root, QUARTER * PI_HIGH) + fma(-TWO, rest, HALF * PI_LOW) + QUARTER * PI_HIGH
    return np.copysign(root + rest if a < HALF else large, x)


def arccos(x):
    """pi/2 - arcsin x up to 1/2, from there 2 arcsin(sqrt((1 - x) / 2)), reflected for x < 0. Worst error 1.26 ULP."""
    a = np.abs(x)
    root, rest = split_arcsin(a)
    angle = root + rest
    large = TWO * angle
    return HALF * PI_HIGH - np.copysign(angle, x) if a < HALF else (PI_HIGH - large if x < ZERO else large)


def arctan_unit(t):
    """arctan t for 0 <= t <= 1."""
    square = t * t
    return fma(t * square, horner(square, ARCTAN), t)


def arctan(x):
    """A polynomial of degree 21 up to 1, from there pi/2 - arctan(1 / x). Worst error 1.79 ULP."""
    a = np.abs(x)
    angle = arctan_unit(ONE / a if a > ONE else a)
    return np.copysign(HALF * PI_HIGH - angle if a > ONE else angle, x)


def arctan2(y, x):
    """The angle of the point (x, y), from -pi to pi: the arctangent of the quotient of the smaller by the larger of |x|
    and |y|, reflected at the diagonal and at the vertical axis. Worst error 1.70 ULP in 2^26 samples.
    """
    a, b = np.abs(x), np.abs(y)
    is_steep = b > a
    quotient = (a if is_steep else b) / (b if is_steep else a)
    quotient = (ONE if a > ZERO else ZERO) if a == b else quotient  # 0 / 0 and infinity / infinity
    angle = arctan_unit(quotient)
    angle = HALF * PI_HIGH - angle if is_steep else angle
    return np.copysign(PI_HIGH - angle if bits_of(x) < np.int32(0) else angle, y)
