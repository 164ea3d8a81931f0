"""Elementary functions of one float64, written so that LLVM can vectorise a loop over them.

Each function is branch-free: both sides of every choice are computed and one is selected. Exponents are read and
written as bits of the float, through `.view(np.int64)`. Generated kernels paste the source of the functions they use,
compile it with Numba, and allow the compiler to contract `a * b + c` into one rounding; where an exact product or an
exact rounding error is needed, `fma` says so and nothing is left to the compiler.

Worst errors are in units in the last place (ULP), against mpmath, on the sample of tests/kernels/test_float64.py. The
polynomials are minimax fits computed for this file with Remez' algorithm in 50 digits.
"""

import numpy as np

from minigrad.kernels.intrinsics import fma

INFINITY = np.float64(np.inf)
NAN = np.float64(np.nan)
MIN_NORMAL = np.float64(2.0**-1022)

# Adding 1.5 * 2**52 rounds to an integer (half to even) and leaves that integer in the low bits of the sum.
ROUNDER = np.float64(1.5 * 2.0**52)

LOG2_E = np.float64(1.4426950408889634)
LN2_HIGH = np.float64(0.6931471805598903)  # 42 bits: its product with an exponent is exact
LN2_LOW = np.float64(5.497923018708371e-14)

MANTISSA_BITS = -0x7FF0000000000001  # all but the exponent
ROUND_THIRD = np.float64(3.0 * 2.0**-52)
ONE_BITS = 0x3FF0000000000000  # the bits of 1.0: an exponent of zero, which is stored as 1023
SQRT_HALF_BITS = 0x3FE6A09E667F3BCD

# (e**r - 1 - r) / r**2 on |r| <= ln(2) / 2
EXP_TAIL = (
    2.51145114238481e-08, 2.762636390154801e-07, 2.7557227833896084e-06, 2.4801504356160204e-05,
    0.00019841269903164875, 0.0013888888932449422, 0.008333333333314529, 0.041666666666573426,
    0.16666666666666685, 0.5000000000000006,
)  # fmt: skip

# (log((1 + s) / (1 - s)) - 2 s) / s**3 in powers of s**2, on |s| <= 3 - sqrt(8)
LOG_TAIL = (
    0.13251322707748, 0.13250118704085354, 0.1538709073917988, 0.1818177566573955, 0.22222222646796735,
    0.2857142856908586, 0.4000000000000625, 0.6666666666666666,
)  # fmt: skip

# The same on |s| <= 1/3
LOG_WIDE_TAIL = (
    0.170196397295302, 0.08339540950972227, 0.121062112471991, 0.133009582271542, 0.15386561056740236,
    0.18181743873561804, 0.2222222397113041, 0.2857142854783245, 0.40000000000157404, 0.6666666666666631,
)  # fmt: skip

# (log((1 + s) / (1 - s)) - 2 s - 2/3 s**3) / s**5 in powers of s**2, on |s| <= 3 - sqrt(8)
LOG_LONG_TAIL = (
    0.11989012975465055, 0.11674818563811043, 0.13336317414472934, 0.15384556871161886, 0.1818181887031166,
    0.22222222217536491, 0.2857142857144511, 0.3999999999999998,
)  # fmt: skip

# -log(erfc(x)) / x on 0 <= x <= 6
ERF_EXPONENT = (
    -3.608814137375764e-15, 1.6220485382672126e-13, -3.3787326054036934e-12, 4.319550282463889e-11,
    -3.7758642664548406e-10, 2.369993607880327e-09, -1.081842269311813e-08, 3.475149218102061e-08,
    -6.621953866709005e-08, -1.0580431359531445e-08, 5.685409901511543e-07, -2.034086638640981e-06,
    3.129292846803415e-06, 3.1731138659884916e-06, -2.9578204420759942e-05, 6.442192161237336e-05,
    2.5903869082080535e-05, -0.0005901322263562787, 0.0016962076226013378, -0.00020919484642598164,
    -0.01912844699385218, 0.102772603301359, 0.6366197723675898, 1.1283791670955126,
)  # fmt: skip

TWO_THIRDS = np.float64(2.0 / 3.0)
TWO_THIRDS_LOW = np.float64(3.700743415417188e-17)

# (sin(r) - r) / r**3 in powers of r**2, on |r| <= pi / 2
SIN_TAIL = (
    2.7215735566669573e-15, -7.643033244272933e-13, 1.6058941500494007e-10, -2.5052106913472933e-08,
    2.7557319211656168e-06, -0.00019841269841212888, 0.008333333333333207, -0.16666666666666666,
)  # fmt: skip

PI_HIGH = np.float64(3.141592653589793)
PI_LOW = np.float64(1.2246467991473532e-16)

# floor(2**1181 / pi)
INVERSE_PI = int(
    "a2f9836e4e441529fc2757d1f534ddc0db6295993c439041fe5163abdebbc561b7246e3a424dd2e006492eea09d1921cfe1d"
    "eb1cb129a73ee88235f52ebb4484e99c7026b45f7e413991d639835339f49c845f8bbdf9283b1ff897ffde05980fef2f118b"
    "5a0a6d1f6d367ecf27cb09b74f463f669e5fea2d7527bac7ebe5f17b3d0739f78a5292ea6bfb5fb11f8d5d085603304",
    16,
)
SMALLEST_ROW = 1023 - 30
# Row e is 2**(e - 30) / pi modulo 2**53, as a sum of four floats: a multiple of 1 and the nearest multiples of 2**-52
# and 2**-104 to what is left, then the rest, so that the products with a mantissa need few bits.
HALF_TURNS = np.array(
    [
        [
            ((v + (1 << a >> 1) >> a) - (v + (1 << b >> 1) >> b << b - a)) * 2.0 ** (a - 158)
            for a, b in ((158, 999), (106, 158), (54, 106), (0, 54))
        ]
        for v in [(INVERSE_PI << e >> 1181 + 30 - 158) & (1 << 211) - 1 for e in range(1054)]
    ]
)


def bits(x):
    """The 64 bits of a float, as an integer."""
    return np.float64(x).view(np.int64)


def from_bits(integer):
    """The float that has these 64 bits."""
    return np.int64(integer).view(np.float64)


def polynomial(x, coefficients):
    """Horner's rule, highest power first, for even and odd powers apart: half as long a chain of dependent steps."""
    square = x * x
    odd = np.float64(coefficients[0])
    even = np.float64(coefficients[1])
    for i in range(2, len(coefficients), 2):
        odd = fma(odd, square, coefficients[i])
        even = fma(even, square, coefficients[i + 1])
    return fma(odd, x, even)


def product(a, b):
    """a * b rounded, out of reach of contraction: the exact error is then fma(a, b, -product(a, b))."""
    return fma(a, b, np.float64(0.0))


def power_of_two(exponent):
    """2.0**exponent for an integer from -1022 to 1023."""
    return from_bits((exponent << 52) + ONE_BITS)


def reduce_exp(x):
    """Integer k and r = x - k ln(2) with |r| <= ln(2) / 2."""
    shifted = x * LOG2_E + ROUNDER
    k = shifted - ROUNDER
    r = fma(-k, LN2_LOW, fma(-k, LN2_HIGH, x))
    return bits(shifted) - bits(ROUNDER), r


def scale(x, exponent):
    """x * 2**exponent in two steps, so that the result may be subnormal or infinite."""
    half = exponent >> 1
    return x * power_of_two(half) * power_of_two(exponent - half)


def clamp(x, low, high):
    """x kept between two bounds; NaN stays NaN."""
    x = high if x > high else x
    return low if x < low else x


def expm1_reduced(r):
    """e**r - 1 for |r| <= ln(2) / 2."""
    return fma(r * r, polynomial(r, EXP_TAIL), r)


def exp(x):
    """e**x."""
    k, r = reduce_exp(clamp(x, np.float64(-760.0), np.float64(720.0)))
    return scale(1.0 + expm1_reduced(r), k)


def expm1_fraction(x):
    """Numerator and half the denominator."""
    k, r = reduce_exp(x)
    tail = expm1_reduced(r)
    two_k = power_of_two(k)
    return tail * two_k + (two_k - 1.0), tail * two_k + (two_k + 1.0)


def expm1(x):
    """e**x - 1."""
    high = x > 700.0
    k, r = reduce_exp(clamp(x, np.float64(-60.0), np.float64(720.0)))
    tail = expm1_reduced(r)
    two_k = power_of_two(k - 2 if high else k)
    value = (tail * two_k + (two_k - (0.25 if high else 1.0))) * (4.0 if high else 1.0)
    return x if np.fabs(x) < 2.0**-54 else value


def split_exponent(x):
    """Integer k and m with x = 2**k m and sqrt(1/2) <= m < sqrt(2), for a positive normal x."""
    k = (bits(x) - SQRT_HALF_BITS) >> 52
    return k, from_bits(bits(x) - (k << 52))


def log_of_scaled(f, k):
    """log(2**k (1 + f)) for 1 + f between sqrt(1/2) and sqrt(2)."""
    s = f / (2.0 + f)
    z = s * s
    log_1_f = f - s * (f - z * polynomial(z, LOG_TAIL))
    exponent = np.float64(k)
    return fma(exponent, LN2_HIGH, fma(exponent, LN2_LOW, log_1_f))


def log(x):
    """Natural logarithm."""
    subnormal = x < MIN_NORMAL
    k, m = split_exponent(x * 2.0**54 if subnormal else x)
    value = log_of_scaled(m - 1.0, k - 54 if subnormal else k)
    value = value if x < INFINITY else x
    return value if x > 0.0 else (-INFINITY if x == 0.0 else NAN)


def log1p(x):
    """log(1 + x)."""
    total = 1.0 + x
    part = total - x
    lost = (1.0 - part) + (x - (total - part))
    k, m = split_exponent(total)
    value = log_of_scaled((m - 1.0) + lost * power_of_two(-k), k)
    value = value if x < INFINITY else x
    value = x if np.fabs(x) < 2.0**-54 else value
    return value if x > -1.0 else (-INFINITY if x == -1.0 else NAN)


def tanh(x):
    """Hyperbolic tangent."""
    magnitude = np.fabs(x)
    numerator, denominator = expm1_fraction(2.0 * (np.float64(22.0) if magnitude > 22.0 else magnitude))
    value = np.copysign(numerator / denominator, x)
    return x if magnitude < 2.0**-54 else value


def sigmoid(x):
    """1 / (1 + e**-x)."""
    e = exp(-np.fabs(x))
    return (e if x < 0.0 else 1.0) / (1.0 + e)


def softplus(x):
    """log(1 + e**x)."""
    e = exp(-np.fabs(x))
    s = e / (2.0 + e)
    z = s * s
    return (x if x > 0.0 else 0.0) + fma(-s, fma(-z, polynomial(z, LOG_WIDE_TAIL), e), e)


def log_sigmoid(x):
    """log(sigmoid(x))."""
    return -softplus(-x)


def erf(x):
    """Error function."""
    magnitude = np.fabs(x)
    magnitude = np.float64(6.0) if magnitude > 6.0 else magnitude
    value = -expm1(-magnitude * polynomial(magnitude, ERF_EXPONENT))
    return np.copysign(value, x)


def sin_reduced(high, low):
    """sin(high + low) for |high| <= pi / 2."""
    z = high * high
    return high + fma(high * z, polynomial(z, SIN_TAIL), low * fma(-0.5, z, 1.0))


def half_turns(x):
    """x / pi modulo 2 in fixed point: two multiples of 2**-52, below 2 and below 1, and two small rests."""
    row = max(((bits(x) >> 52) & 0x7FF) - SMALLEST_ROW, 0)
    mantissa = from_bits((bits(x) & MANTISSA_BITS) | ONE_BITS)
    first = product(mantissa, HALF_TURNS[row, 0])
    first_low = fma(mantissa, HALF_TURNS[row, 0], -first)
    coarse = fma(-2.0, np.rint(0.5 * first), first) + first_low
    fine = fma(mantissa, HALF_TURNS[row, 1], np.float64(3.0)) - 3.0
    fine_low = fma(mantissa, HALF_TURNS[row, 1], -fine)
    third = fma(mantissa, HALF_TURNS[row, 2], ROUND_THIRD) - ROUND_THIRD
    third_low = fma(mantissa, HALF_TURNS[row, 3], fma(mantissa, HALF_TURNS[row, 2], -third))
    return coarse, fine, fine_low + third, third_low + (x - x)


def angle(turns, small, smaller):
    """pi (turns + small + smaller) as high + low"""
    total = turns + small
    low = small - (total - turns) + smaller
    high = product(total, PI_HIGH)
    return high, fma(total, PI_HIGH, -high) + fma(low, PI_HIGH, total * PI_LOW)


def sin(x):
    """Sine."""
    coarse, fine, small, smaller = half_turns(x)
    shifted = (coarse + fine) + ROUNDER
    high, low = angle((coarse - (shifted - ROUNDER)) + fine, small, smaller)
    value = from_bits(bits(sin_reduced(high, low)) ^ (bits(shifted) << 63))
    return x if np.fabs(x) < 2.0**-27 else value


def cos(x):
    """Cosine."""
    coarse, fine, small, smaller = half_turns(x)
    shifted = (coarse + fine - 0.5) + ROUNDER
    high, low = angle((coarse - (shifted - ROUNDER + 0.5)) + fine, small, smaller)
    return from_bits(bits(-sin_reduced(high, low)) ^ (bits(shifted) << 63))


def tan(x):
    """Tangent."""
    coarse, fine, small, smaller = half_turns(x)
    shifted = 2.0 * (coarse + fine) + ROUNDER
    high, low = angle((coarse - 0.5 * (shifted - ROUNDER)) + fine, small, smaller)
    sine = sin_reduced(high, low)
    half = sin_reduced(0.5 * high, 0.5 * low)
    cosine = fma(-2.0 * half, half, 1.0)
    odd = (bits(shifted) & 1) == 1
    value = (-cosine if odd else sine) / (sine if odd else cosine)
    return x if np.fabs(x) < 2.0**-27 else value


def sqrt(x):
    """Square root, correctly rounded by the machine."""
    return np.sqrt(x)


def rsqrt(x):
    """1 / sqrt(x)."""
    return 1.0 / np.sqrt(x)


def pow(x, y):
    """x**y."""
    magnitude = np.fabs(x)
    subnormal = magnitude < MIN_NORMAL
    k, m = split_exponent(magnitude * 2.0**54 if subnormal else magnitude)
    exponent = np.float64(k - 54 if subnormal else k)

    # log(m) = 2 s + 2/3 s**3 + ..., the first two terms in pairs of floats
    f = m - 1.0
    denominator = m + 1.0
    inverse = 1.0 / denominator
    s = product(f, inverse)
    s_low = fma(-s, m - (denominator - 1.0), fma(-s, denominator, f)) * inverse
    z = product(s, s)
    z_low = fma(s, s, -z) + 2.0 * s * s_low
    third = product(z, TWO_THIRDS)
    third_low = fma(z, TWO_THIRDS, -third) + fma(z, TWO_THIRDS_LOW, z_low * TWO_THIRDS)
    third_low = fma(z * z, polynomial(z, LOG_LONG_TAIL), third_low)
    cubic = product(s, third)
    cubic_low = fma(s, third, -cubic) + fma(s, third_low, s_low * third)

    whole = exponent * LN2_HIGH
    part = whole + 2.0 * s
    part_low = 2.0 * s - (part - whole)
    log_x = part + cubic
    log_x_low = (cubic - (log_x - part)) + part_low + (fma(exponent, LN2_LOW, 2.0 * s_low) + cubic_low)

    log_x = log_x if magnitude < INFINITY else magnitude
    log_x = -INFINITY if magnitude == 0.0 else log_x

    bounded_y = clamp(y, np.float64(-1e300), np.float64(1e300))
    high = product(bounded_y, log_x)
    low = fma(bounded_y, log_x, -high) + bounded_y * log_x_low
    total = high + low
    low = low - (total - high) if np.fabs(total) < 760.0 else 0.0
    k, r = reduce_exp(clamp(total, np.float64(-760.0), np.float64(720.0)))
    value = scale(1.0 + expm1_reduced(r + low), k)

    y_is_integer = np.floor(y) == y
    y_is_odd = y_is_integer and np.floor(0.5 * y) != 0.5 * y
    value = np.copysign(value, x) if y_is_odd else value
    value = value if y_is_integer or x >= 0.0 or x == -INFINITY else NAN
    return 1.0 if y == 0.0 or x == 1.0 else value


def arcsin(x):
    """Inverse sine, from the C library."""
    return np.arcsin(x)


def arccos(x):
    """Inverse cosine, from the C library."""
    return np.arccos(x)


def arctan(x):
    """Inverse tangent, from the C library."""
    return np.arctan(x)


def arctan2(y, x):
    """Angle of the point (x, y), from the C library."""
    return np.arctan2(y, x)


def sinh(x):
    """Hyperbolic sine, from the C library."""
    return np.sinh(x)


def cosh(x):
    """Hyperbolic cosine, from the C library."""
    return np.cosh(x)


def abs(x):
    """Magnitude."""
    return np.fabs(x)


def sign(x):
    """-1, 0 or 1; NaN stays NaN."""
    return 1.0 if x > 0.0 else (-1.0 if x < 0.0 else (0.0 if x == 0.0 else x))


def floor(x):
    """Largest integer not above x."""
    return np.floor(x)


def ceil(x):
    """Smallest integer not below x."""
    return np.ceil(x)


def round(x):
    """Nearest integer, half to even."""
    return np.rint(x)
