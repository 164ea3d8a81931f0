"""Python's quotients, rounded down, and remainders, of integers and floats, as LLVM.

w: what writes (instructions.Writer). Arguments and results are names or numbers of LLVM.
"""

from minigrad.kernels.instructions import FLOATS, Value, Writer, literal


def quotient(w: Writer, a: Value, b: Value, remainder: bool) -> Value:
    a, b = w.alike(a, b)
    if a.kind in FLOATS:
        return Value(a.kind, (float_remainder if remainder else float_quotient)(w, a.kind, a.text, b.text))
    return Value("i64", of_integers(w, w.integer(a), w.integer(b), remainder))


def of_integers(w: Writer, a: str, b: str, remainder: bool) -> str:
    """Python's quotient, rounded down, or its remainder, which has the sign of b; 0 where b is 0."""
    shift = b.isdigit() and int(b).bit_count() == 1
    if shift:
        return w.new(f"and i64 {a}, {int(b) - 1}" if remainder else f"ashr i64 {a}, {int(b).bit_length() - 1}")
    by_zero, by_minus_one = [w.new(f"icmp eq i64 {b}, {n}") for n in (0, -1)]
    by_neither = w.new(f"select i1 {by_zero}, i64 1, i64 {b}")
    divisor = w.new(f"select i1 {by_minus_one}, i64 1, i64 {by_neither}")  # the CPU traps at -(2**63) / -1
    rest = w.new(f"srem i64 {a}, {divisor}")
    signs = w.new(f"icmp slt i64 {w.new(f'xor i64 {rest}, {divisor}')}, 0")
    down = w.new(f"and i1 {signs}, {w.new(f'icmp ne i64 {rest}, 0')}")
    if remainder:
        result = w.new(f"add i64 {rest}, {w.new(f'select i1 {down}, i64 {divisor}, i64 0')}")
    else:
        whole = w.new(f"sub i64 {w.new(f'sdiv i64 {a}, {divisor}')}, {w.new(f'zext i1 {down} to i64')}")
        result = w.new(f"select i1 {by_minus_one}, i64 {w.new(f'sub i64 0, {a}')}, i64 {whole}")
    return w.new(f"select i1 {by_zero}, i64 0, i64 {result}")


def truncated(w: Writer, kind: str, a: str, b: str) -> tuple[str, str]:
    """The remainder of the quotient rounded towards 0, and whether b has the other sign."""
    zero, rest = literal(0.0), w.new(f"frem {kind} {a}, {b}")
    negative = [w.new(f"fcmp olt {kind} {x}, {zero}") for x in (rest, b)]
    is_there = w.new(f"fcmp one {kind} {rest}, {zero}")
    return rest, w.new(f"and i1 {is_there}, {w.new(f'xor i1 {negative[0]}, {negative[1]}')}")


def float_remainder(w: Writer, kind: str, a: str, b: str) -> str:
    """Python's remainder of floats: it has the sign of b, also where it is 0."""
    rest, other = truncated(w, kind, a, b)
    moved = w.new(f"select i1 {other}, {kind} {w.new(f'fadd {kind} {rest}, {b}')}, {kind} {rest}")
    zero = w.new(f"fcmp oeq {kind} {moved}, {literal(0.0)}")
    signed = w.intrinsic("copysign", [Value(kind, moved), Value(kind, b)]).text
    return w.new(f"select i1 {zero}, {kind} {signed}, {kind} {moved}")


def float_quotient(w: Writer, kind: str, a: str, b: str) -> str:
    """Python's quotient of floats, rounded down, by the exact remainder; the quotient itself where b is 0."""
    rest, other = truncated(w, kind, a, b)
    whole = w.new(f"fdiv {kind} {w.new(f'fsub {kind} {a}, {rest}')}, {b}")
    less = w.new(f"fsub {kind} {whole}, {literal(1.0)}")
    near = w.new(f"select i1 {other}, {kind} {less}, {kind} {whole}")
    quotient = w.new(f"fdiv {kind} {a}, {b}")
    zero = w.intrinsic("copysign", [Value(kind, literal(0.0)), Value(kind, quotient)]).text
    rounded = w.intrinsic("rint", [Value(kind, near)]).text
    is_zero = w.new(f"fcmp oeq {kind} {near}, {literal(0.0)}")
    result = w.new(f"select i1 {is_zero}, {kind} {zero}, {kind} {rounded}")
    by_zero = w.new(f"fcmp oeq {kind} {b}, {literal(0.0)}")
    return w.new(f"select i1 {by_zero}, {kind} {quotient}, {kind} {result}")
