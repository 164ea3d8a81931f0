"""Trigonometry of one float64: functions that LLVM can vectorise a loop over, in the manner of float64.py."""

import numpy as np
from numba import config

from minigrad.kernels.float64 import ONE_BITS, ROUNDER, SIGN_AND_MANTISSA, bits_of, float_of, polynomial, product
from minigrad.kernels.intrinsics import fma, load

# Sine, cosine, tangent. The angle is counted in half turns, x / pi modulo 2, in fixed-point arithmetic (after Payne and
# Hanek) that serves arguments of any size alike: a way of their own for huge ones would be a branch.

PI_HIGH = np.float64(3.141592653589793)
PI_LOW = np.float64(1.2246467991473532e-16)

# floor(2**1181 / pi)
INVERSE_PI = int(
    "a2f9836e4e441529fc2757d1f534ddc0db6295993c439041fe5163abdebbc561b7246e3a424dd2e006492eea09d1921cfe1d"
    "eb1cb129a73ee88235f52ebb4484e99c7026b45f7e413991d639835339f49c845f8bbdf9283b1ff897ffde05980fef2f118b"
    "5a0a6d1f6d367ecf27cb09b74f463f669e5fea2d7527bac7ebe5f17b3d0739f78a5292ea6bfb5fb11f8d5d085603304",
    16,
)

# Row e is 2**(e - 30) / pi modulo 2**53, since a mantissa is a multiple of 2**-52, as a sum of four floats: the nearest
# multiples of 1, of 2**-52 and of 2**-104 to what is left, then the rest. v counts units of 2**-158.
HALF_TURNS = np.array(
    [
        [
            ((v + (1 << a >> 1) >> a) - (v + (1 << b >> 1) >> b << b - a)) * 2.0 ** (a - 158)
            for a, b in ((158, 999), (106, 158), (54, 106), (0, 54))
        ]
        for v in [(INVERSE_PI << e >> 1181 + 30 - 158) & (1 << 211) - 1 for e in range(1055)]
    ]
)

# (sin(r) - r) / r**3 in powers of r**2, on |r| <= pi / 4, relative error of the sine 2**-58
SIN_TAIL = (
    1.5896811280427194e-10, -2.5050758374842416e-08, 2.7557313693508075e-06, -0.00019841269829812185,
    0.008333333333322418, -0.16666666666666632,
)  # fmt: skip

# (cos(r) - 1 + r**2 / 2) / r**4 in powers of r**2, on |r| <= pi / 4, relative error of the cosine 2**-63
COS_TAIL = (
    -1.1359658868485467e-11, 2.0875723479636736e-09, -2.75573143537947e-07, 2.4801587289487036e-05,
    -0.0013888888888874131, 0.0416666666666666,
)  # fmt: skip


if config.DISABLE_JIT:

    def load(address, index, dtype):
        """An element of HALF_TURNS, which is the only table that is read so."""
        return HALF_TURNS.flat[index]


def half_turns(x):
    """x / pi modulo 2 as a sum of four: two multiples of 2**-52 of at most 2, so that adding them or taking an integer
    or a half from them is exact; one of 2**-104; and the rest. Good to 2**-150: no float64 is nearer to a multiple of
    pi / 2 than 2**-61. NaN for infinity, by x - x. The table is read through `load`, which tells LLVM that the loop
    writes elsewhere; otherwise it would not vectorise."""
    first_entry = 4 * (max((bits_of(x) >> 52) & 0x7FF, 1023 - 30) - (1023 - 30))
    t0 = load(HALF_TURNS.ctypes.data, first_entry, np.float64)
    t1 = load(HALF_TURNS.ctypes.data, first_entry + 1, np.float64)
    t2 = load(HALF_TURNS.ctypes.data, first_entry + 2, np.float64)
    t3 = load(HALF_TURNS.ctypes.data, first_entry + 3, np.float64)
    mantissa = float_of((bits_of(x) & SIGN_AND_MANTISSA) | ONE_BITS)

    first = product(mantissa, t0)
    coarse = fma(np.float64(-2.0), np.rint(0.5 * first), first) + fma(mantissa, t0, -first)
    # Adding 3 rounds what is below 1 to a multiple of 2**-51; adding 3 * 2**-52 does so 52 bits lower.
    fine = fma(mantissa, t1, np.float64(3.0)) - 3.0
    third = fma(mantissa, t2, np.float64(3.0 * 2.0**-52)) - 3.0 * 2.0**-52
    small = fma(mantissa, t1, -fine) + third
    smaller = fma(mantissa, t3, fma(mantissa, t2, -third))
    return coarse, fine, small, smaller + (x - x)


def quarter_turns(x):
    """n, of which the last two bits count, and r as high + low, with x = n pi / 2 + r and |r| <= pi / 4."""
    coarse, fine, small, smaller = half_turns(x)
    shifted = 2.0 * (coarse + fine) + ROUNDER
    turns = (coarse - 0.5 * (shifted - ROUNDER)) + fine
    total = turns + small
    rest = small - (total - turns) + smaller
    high = product(total, PI_HIGH)
    return bits_of(shifted), high, fma(total, PI_HIGH, -high) + fma(rest, PI_HIGH, total * PI_LOW)


def sin_reduced(high, low):
    """sin(high + low) for |high| <= pi / 4."""
    z = high * high
    return high + fma(high * z, polynomial(z, SIN_TAIL), low)


def cos_reduced(high, low):
    """cos(high + low) for |high| <= pi / 4."""
    z = high * high
    return 1.0 + fma(z, fma(z, polynomial(z, COS_TAIL), np.float64(-0.5)), -(high * low))


def sin_of_quarter_turns(n, high, low):
    """sin(n pi / 2 + high + low): the lowest bit of n chooses sine or cosine, the next one becomes the sign."""
    value = sin_reduced(high, low) if (n & 1) == 0 else cos_reduced(high, low)
    return float_of(bits_of(value) ^ ((n & 2) << 62))


def sin(x):
    """By reduction to |r| <= pi / 4 for arguments of any size. Worst error 1.1 ULP."""
    n, high, low = quarter_turns(x)
    value = sin_of_quarter_turns(n, high, low)
    return x if np.fabs(x) < 2.0**-27 else value


def cos(x):
    """sin(x + pi / 2). Worst error 1.1 ULP."""
    n, high, low = quarter_turns(x)
    return sin_of_quarter_turns(n + 1, high, low)


def tan(x):
    """sin(r) / cos(r), or -cos(r) / sin(r) after an odd number of quarter turns. Worst error 2.4 ULP."""
    n, high, low = quarter_turns(x)
    sine = sin_reduced(high, low)
    cosine = cos_reduced(high, low)
    is_even = (n & 1) == 0
    ratio = (sine if is_even else cosine) / (cosine if is_even else sine)
    value = float_of(bits_of(ratio) ^ (n << 63))
    return x if np.fabs(x) < 2.0**-27 else value


# Inverse functions, all from the angle of a point in the first quadrant.

COT_EIGHTH_PI = np.float64(2.414213562373095)

# (arctan(t) - t) / t**3 in powers of t**2, on |t| <= tan(pi / 8), relative error of the arctangent 2**-64
ARCTAN_TAIL = (
    0.015195452612997746, -0.03347477542988972, 0.04503564137605752, -0.05218408263188107, 0.05877022440715153,
    -0.06666226827352127, 0.07692282763717091, -0.09090908144767856, 0.11111111088184943, -0.14285714285388135,
    0.1999999999999767, -0.33333333333333326,
)  # fmt: skip


def quadrant_angle(y, x):
    """Angle of the point (x, y), x, y >= 0 and not both 0, as a share of pi and a rest of at most pi / 8: mirrored at
    the diagonal if y > x, and measured from the diagonal, by tan(a - pi / 4) = (y - x) / (y + x), if near it."""
    is_steep = y > x
    short = x if is_steep else y
    long = y if is_steep else x
    scale = 0.25 if long > 2.0**1000 else 1.0  # so that the sum does not overflow
    short = scale * short
    long = scale * long
    is_diagonal = COT_EIGHTH_PI * short >= long
    difference = 0.0 if short == long else short - long
    t = (difference if is_diagonal else short) / (short + long if is_diagonal else long)
    z = t * t
    angle = fma(t * z, polynomial(z, ARCTAN_TAIL), t)
    return (0.25 if is_diagonal else (0.5 if is_steep else 0.0)), (-angle if is_steep else angle)


def add_half_turns(share, angle):
    """share pi + angle."""
    return share * PI_HIGH + fma(share, PI_LOW, angle)


def arctan2(y, x):
    """Angle of the point (x, y), from that of (|x|, |y|). Worst error 1.8 ULP."""
    share, angle = quadrant_angle(np.fabs(y), 1.0 if (x == 0.0) & (y == 0.0) else np.fabs(x))
    is_left = np.copysign(1.0, x) < 0.0
    return np.copysign(add_half_turns(1.0 - share if is_left else share, -angle if is_left else angle), y)


def arctan(x):
    """Angle of the point (1, x). Worst error 2.1 ULP."""
    share, angle = quadrant_angle(np.fabs(x), np.float64(1.0))
    return np.copysign(add_half_turns(share, angle), x)


def arcsin(x):
    """Angle of the point (sqrt(1 - x**2), x). Worst error 2.3 ULP."""
    share, angle = quadrant_angle(np.fabs(x), np.sqrt((1.0 - x) * (1.0 + x)))
    return np.copysign(add_half_turns(share, angle), x)


def arccos(x):
    """Twice the angle of the point (sqrt(1 + x), sqrt(1 - x)). Worst error 2.8 ULP."""
    share, angle = quadrant_angle(np.sqrt(1.0 - x), np.sqrt(1.0 + x))
    return 2.0 * add_half_turns(share, angle)
