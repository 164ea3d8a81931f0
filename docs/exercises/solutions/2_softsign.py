from minigrad.ops.elementwise import elementwise

softsign = elementwise(
    "softsign(x)", "x / (1 + abs(x))", x="g / ((1 + abs(x)) * (1 + abs(x)))", doc="x / (1 + |x|), from -1 to 1."
)
