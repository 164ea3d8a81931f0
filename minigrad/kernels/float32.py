"""Elementary functions of float32 that LLVM can vectorise: no branches, no calls to a maths library, no tables.

Each function takes and returns one `np.float32`; Numba compiles it into the loop that uses it, and the loop then does
8 or 16 elements at a time. What keeps that possible, and the results within 2 ULP of the correctly rounded value:

- every choice is a conditional expression between two values that are both computed (a select, not a jump), written
  with comparisons that are false for NaN, so that NaN passes through;
- every constant is an `np.float32`, since Numba types `1 - y` as float64, at half the speed;
- `fma` stands wherever one rounding less is what makes the result right. The compiler may fuse other products and sums
  as well (`contract`), and nothing depends on whether it does;
- polynomials are minimax fits (Remez's algorithm in mpmath, the coefficients rounded to float32 one after the other, the
  lowest first, and the rest fitted anew), made for this file; the highest power comes first.

The errors given below are the worst over all 2^32 arguments, found by `benchmarks/ulp.py`.
"""

import numpy as np

from minigrad.kernels.intrinsics import fma

INFINITY = np.float32(np.inf)
NOT_A_NUMBER = np.float32(np.nan)
ZERO = np.float32(0)
HALF = np.float32(0.5)
ONE = np.float32(1)
TWO = np.float32(2)

# Adding 1.5 * 2^23 leaves no room for a fraction: the sum is rounded to an integer, which stands in its lowest bits.
ROUNDER = np.float32(12582912.0)
ROUNDER64 = np.float64(6755399441055744.0)

LOG2_E = np.float32(1.442695)
LN2_HIGH = np.float32(0.6931472)
LN2_LOW = np.float32(-1.9046542e-09)

EXP = tuple(np.float32([0.001383822, 0.008369296, 0.041668087, 0.16666515, 0.49999994]))
LOG = tuple(
    np.float32(
        [0.053414613, -0.109183505, 0.12107818, -0.1254925, 0.14209637, -0.16659373, 0.20002222, -0.25000167, 0.33333313]
    )
)
LOG1P_UNIT = tuple(
    np.float32(
        [0.0020843777, -0.013691132, 0.042114176, -0.08323861, 0.12479523, -0.16135171, 0.19899623, -0.24988864,
         0.33332714, -0.49999988]
    )
)
TANH = tuple(np.float32([0.0021852711, -0.008221448, 0.021717666, -0.05394971, 0.13333228, -0.3333333]))
ERF_CENTRE = tuple(
    np.float32([7.806904e-05, -0.0007997853, 0.005187162, -0.026853347, 0.11283579, -0.37612626, 0.12837917])
)
ERFC_LOG2 = tuple(
    np.float32(
        [0.00026888345, -0.004252536, 0.03150556, -0.14875144, -0.9206485, -1.626046, -0.0004927156]
    )
)
EXP2 = tuple(np.float32([0.000133329, 0.0013387945, 0.009625445, 0.055503663, 0.24022594, 0.6931472, 1.0]))
SIN = tuple(np.float32([2.7926121e-06, -0.00019849678, 0.008333373, -0.16666667]))
COS = tuple(np.float32([2.4389683e-05, -0.0013886937, 0.041666638, -0.5, 1.0]))
TAN = tuple(
    np.float32(
        [0.0024921533, -0.001699235, 0.00608131, 0.0077779368, 0.022138165, 0.053932097, 0.13333565, 0.33333328]
    )
)
ARCSIN = tuple(np.float32([0.037690554, 0.014317177, 0.03183883, 0.044513382, 0.07500522, 0.1666666]))
ARCTAN = tuple(
    np.float32(
        [0.001134518, -0.0074253553, 0.022777613, -0.044983257, 0.06763649, -0.08821462, 0.11061233, -0.14280343,
         0.19999716, -0.33333328]
    )
)
SINH = tuple(np.float32([2.7822132e-06, 0.00019842896, 0.0083333105, 0.16666667]))
LOG2_64 = (
    2.8291409165186576e-01, 3.199047092893319e-01, 4.122092768512119e-01, 5.770779421176248e-01, 9.617966941142156e-01,
    2.8853900817778495e00,
)
EXP2_64 = (
    1.5201862127693392e-05, 1.546931565857425e-04, 1.3333922943140914e-03, 9.618027175158368e-03, 5.55041035272776e-02,
    2.402265119873752e-01, 6.931471807287315e-01, 9.999999999616215e-01,
)


def horner(x, coefficients):
    """The polynomial in x with these coefficients, the highest power first, one fma a step."""
    total = coefficients[0]
    for coefficient in coefficients[1:]:
        total = fma(total, x, coefficient)
    return total


def bits_of(x):
    """The 32 bits of x as an int32."""
    return np.float32(x).view(np.int32)


def float_of(bits):
    """The float32 with these bits."""
    return np.int32(bits).view(np.float32)


def power_of_two(n):
    """2^n as float32, for an int32 n from -126 to 127: n goes into the exponent field, nothing else is set."""
    return float_of((n + np.int32(127)) << np.int32(23))


def reduce_exp(x):
    """x = n * ln 2 + r with |r| <= 0.347: the integer n (int32) and r, for |x| <= 2^22 ln 2."""
    shifted = fma(x, LOG2_E, ROUNDER)
    rounded = shifted - ROUNDER
    r = fma(-rounded, LN2_LOW, fma(-rounded, LN2_HIGH, x))
    return np.int32(bits_of(shifted) - bits_of(ROUNDER)), r


def scale(y, n):
    """y * 2^n, rounded once, for y near 1 and n from -250 to 250: by two factors, since one would not reach all of it."""
    first = np.int32(n >> np.int32(1))
    return y * power_of_two(first) * power_of_two(np.int32(n - first))


def exp(x):
    """e^x"""
    x = np.float32(89) if x > np.float32(89) else x
    x = np.float32(-104) if x < np.float32(-104) else x
    n, r = reduce_exp(x)
    return scale(fma(r * r, horner(r, EXP), r) + ONE, n)


def expm1(x):
    """e^x - 1"""
    x = np.float32(89) if x > np.float32(89) else x
    x = np.float32(-18) if x < np.float32(-18) else x
    n, r = reduce_exp(x)
    q = fma(r * r, horner(r, EXP), r)
    half_power = power_of_two(np.int32(n - np.int32(1)))
    scaled = TWO * fma(half_power, q, half_power - HALF)
    return (q if x != ZERO else x) if n == np.int32(0) else scaled


def log_of_parts(e, f):
    """e * ln 2 + log(1 + f) for an integer e (float32) and |f| <= 0.42."""
    square = f * f
    fraction = fma(square, fma(horner(f, LOG), f, -HALF), f)
    return fma(e, LN2_HIGH, fma(e, LN2_LOW, fraction))


def log(x):
    """log x"""
    is_subnormal = x < np.float32(1.17549435e-38)
    bits = bits_of(x * np.float32(8388608.0) if is_subnormal else x)
    e = np.int32((bits - np.int32(0x3F3504F3)) >> np.int32(23))
    f = float_of(bits - (e << np.int32(23))) - ONE
    result = log_of_parts(np.float32(e) - (np.float32(23) if is_subnormal else ZERO), f)
    result = result if x < INFINITY else x
    result = result if x > ZERO else (-INFINITY if x == ZERO else NOT_A_NUMBER)
    return result if x == x else x


def log1p(x):
    """log(1 + x)"""
    bits = bits_of(ONE + x)
    e = np.int32((bits - np.int32(0x3F3504F3)) >> np.int32(23))
    inverse_power = power_of_two(np.int32(-e))
    result = log_of_parts(np.float32(e), fma(x, inverse_power, inverse_power - ONE))
    result = result if x < INFINITY else x
    result = result if x > -ONE else (-INFINITY if x == -ONE else NOT_A_NUMBER)
    result = x if x == ZERO else result
    return result if x == x else x


def tanh(x):
    """tanh"""
    a = np.abs(x)
    a = np.float32(9.1) if a > np.float32(9.1) else a
    n, r = reduce_exp(TWO * a)
    e = (fma(r * r, horner(r, EXP), r) + ONE) * power_of_two(n)
    square = a * a
    small = fma(a * square, horner(square, TANH), a)
    return np.copysign(ONE - TWO / (e + ONE) if a > np.float32(0.6) else small, x)


def sigmoid(x):
    """1 / (1 + e^-x)"""
    e = exp(-np.abs(x))
    return (e if x < ZERO else ONE) / (ONE + e)


def softplus(x):
    """log(1 + e^x) = max(x, 0) + log(1 + e^-|x|)"""
    e = exp(-np.abs(x))
    return fma(e * e, horner(e, LOG1P_UNIT), e) + (x if x > ZERO else ZERO)


def log_sigmoid(x):
    """log(sigmoid(x)) = -softplus(-x)"""
    return -softplus(-x)


def erf(x):
    """erf"""
    a = np.abs(x)
    a = np.float32(4) if a > np.float32(4) else a
    square = a * a
    centre = fma(a, horner(square, ERF_CENTRE), a)
    y = horner(a, ERFC_LOG2)
    shifted = y + ROUNDER
    n = np.int32(bits_of(shifted) - bits_of(ROUNDER))
    tail = ONE - horner(y - (shifted - ROUNDER), EXP2) * power_of_two(n)
    return np.copysign(tail if a > ONE else centre, x)


def reduce_trigonometric(x):
    """x = n * pi/2 + r with |r| < 0.84: n modulo 2^31 (int32) and r."""
    a = np.abs(x)
    wide = np.float64(x)
    c0 = 0.625
    c1 = 0.011619772296398878
    c2 = 7.118246497800087e-11
    c0 = 0.6366197690367699 if a >= np.float32(2.0**24) else c0
    c1 = 3.3308114738561656e-09 if a >= np.float32(2.0**24) else c1
    c2 = 2.276010073078396e-18 if a >= np.float32(2.0**24) else c2
    c0 = 8.528719797062934e-08 if a >= np.float32(2.0**48) else c0
    c1 = 7.166494882838848e-17 if a >= np.float32(2.0**48) else c1
    c2 = 2.8376220177865265e-25 if a >= np.float32(2.0**48) else c2
    c0 = 2.937095479631555e-16 if a >= np.float32(2.0**72) else c0
    c1 = 6.074026479468182e-24 if a >= np.float32(2.0**72) else c1
    c2 = 1.018166438749971e-32 if a >= np.float32(2.0**72) else c2
    c0 = 3.2543805834646035e-23 if a >= np.float32(2.0**96) else c0
    c1 = 2.5670069622001645e-31 if a >= np.float32(2.0**96) else c1
    c2 = 1.0490494448130901e-39 if a >= np.float32(2.0**96) else c2
    c0 = 2.4711388756602014e-29 if a >= np.float32(2.0**120) else c0
    c1 = 2.518417366074184e-39 if a >= np.float32(2.0**120) else c1
    c2 = 1.7266765423121933e-47 if a >= np.float32(2.0**120) else c2
    shifted = fma(wide, c0, wide * c1) + ROUNDER64
    fraction = fma(wide, c2, fma(wide, c1, fma(wide, c0, -(shifted - ROUNDER64))))
    return np.int32(np.float64(shifted).view(np.int64)), np.float32(fraction * 1.5707963267948966)


def sin_of_parts(n, r):
    """sin(n * pi/2 + r)"""
    square = r * r
    sine = fma(r * square, horner(square, SIN), r)
    cosine = horner(square, COS)
    result = sine if (n & np.int32(1)) == np.int32(0) else cosine
    return result if (n & np.int32(2)) == np.int32(0) else -result


def sin(x):
    """sin"""
    n, r = reduce_trigonometric(x)
    return sin_of_parts(n, r) if x != ZERO else x


def cos(x):
    """cos"""
    n, r = reduce_trigonometric(x)
    return sin_of_parts(np.int32(n + np.int32(1)), r)


def tan(x):
    """tan"""
    n, r = reduce_trigonometric(x)
    square = r * r
    tangent = fma(r * square, horner(square, TAN), r)
    result = tangent if (n & np.int32(1)) == np.int32(0) else -ONE / tangent
    return result if x != ZERO else x


def rsqrt(x):
    """1 / sqrt(x)"""
    return ONE / np.sqrt(x)


def pow(x, y):
    """x^y, as C99's Annex F has it"""
    a = np.float64(np.abs(x))
    bits = np.float64(a).view(np.int64)
    e = np.int64((bits - np.int64(0x3FE6A09E667F3BCD)) >> np.int64(52))
    m = np.int64(bits - (e << np.int64(52))).view(np.float64)
    s = (m - 1.0) / (m + 1.0)
    exponent = np.float64(y) * fma(s, horner(s * s, LOG2_64), np.float64(e))
    exponent = 200.0 if exponent > 200.0 else exponent
    exponent = -200.0 if exponent < -200.0 else exponent
    shifted = exponent + ROUNDER64
    n = np.int64(np.float64(shifted).view(np.int64) - np.float64(ROUNDER64).view(np.int64))
    power = horner(exponent - (shifted - ROUNDER64), EXP2_64) * np.int64((n + 1023) << 52).view(np.float64)
    result = np.float32(power)

    b = np.abs(y)
    is_integer = np.floor(y) == y
    is_odd = is_integer & (np.floor(y * HALF) * TWO != y)
    grows = (a > 1.0) == (y > ZERO)
    result = (INFINITY if grows else ZERO) if (b == INFINITY) | (a == 0.0) | (a == np.inf) else result
    result = ONE if (b == INFINITY) & (a == 1.0) else result
    result = -result if is_odd & (np.copysign(ONE, x) < ZERO) & (b < INFINITY) else result
    result = NOT_A_NUMBER if (x < ZERO) & (not is_integer) & (a < np.inf) else result
    result = x + y if (x != x) | (y != y) else result
    return ONE if (y == ZERO) | (x == ONE) else result


def sqrt(x):
    """The square root, correctly rounded: a machine instruction."""
    return np.sqrt(x)


def arcsin(x):
    """arcsin"""
    a = np.abs(x)
    is_small = a < HALF
    square = a * a if is_small else (ONE - a) * HALF
    root = a if is_small else np.sqrt(square)
    angle = fma(root * square, horner(square, ARCSIN), root)
    return np.copysign(angle if is_small else fma(-TWO, angle, np.float32(np.pi / 2)), x)


def arccos(x):
    """arccos"""
    a = np.abs(x)
    is_small = a < HALF
    square = a * a if is_small else (ONE - a) * HALF
    root = a if is_small else np.sqrt(square)
    angle = fma(root * square, horner(square, ARCSIN), root)
    small = np.float32(np.pi / 2) - np.copysign(angle, x)
    large = TWO * angle
    return small if is_small else (np.float32(np.pi) - large if x < ZERO else large)


def arctan(x):
    """arctan"""
    a = np.abs(x)
    is_large = a > ONE
    t = ONE / a if is_large else a
    square = t * t
    angle = fma(t * square, horner(square, ARCTAN), t)
    return np.copysign(np.float32(np.pi / 2) - angle if is_large else angle, x)


def arctan2(y, x):
    """The angle of the point (x, y)"""
    return np.float32(np.arctan2(np.float64(y), np.float64(x)))


def sinh(x):
    """sinh"""
    a = np.abs(x)
    a = np.float32(90) if a > np.float32(90) else a
    n, r = reduce_exp(a)
    half_exp = scale(fma(r * r, horner(r, EXP), r) + ONE, np.int32(n - np.int32(1)))
    square = a * a
    small = fma(a * square, horner(square, SINH), a)
    return np.copysign(small if a < ONE else half_exp - np.float32(0.25) / half_exp, x)


def cosh(x):
    """cosh"""
    a = np.abs(x)
    a = np.float32(90) if a > np.float32(90) else a
    n, r = reduce_exp(a)
    half_exp = scale(fma(r * r, horner(r, EXP), r) + ONE, np.int32(n - np.int32(1)))
    return half_exp + np.float32(0.25) / half_exp


def abs(x):
    """|x|"""
    return np.abs(x)


def sign(x):
    """-1, 0 or 1; NaN for NaN."""
    result = (ONE if x > ZERO else ZERO) - (ONE if x < ZERO else ZERO)
    return result if x == x else x


def floor(x):
    """The largest integer that is not larger than x."""
    return np.floor(x)


def ceil(x):
    """The smallest integer that is not smaller than x."""
    return np.ceil(x)


def round(x):
    """The nearest integer; of two equally near ones the even one."""
    return np.rint(x)
