"""What the compiler knows of the ops, a file a family as in minigrad/ops.

CANONICAL: the forms in which structural ops enter a program, by the name of the op. A rule takes the program, the
inputs and the parameters of a call, and gives the value (or the values) that stands for it; None where the call is in
its canonical form already. The first pass brings a trace into these forms, and `Program.apply`, by which passes make
values, makes no others; so every pass sees few of them:

    swapaxes, T, transpose()    transpose with all its axes; of a transpose, one
    split, unstack, flip        getitem, an integer or a slice for each axis, counted from the front
    stack, roll                 concatenate
    sum_to                      sum and reshape
    diagonal                    getitem of a reshape
    einsum                      transpose, matmul or mul, sum
    x[array], embedding         take along one axis
"""

from minigrad.ir.rules import index, linalg, neural, product, reduce, shape

FAMILIES = (index, linalg, neural, product, reduce, shape)
CANONICAL = {name: rule for family in FAMILIES for name, rule in family.CANONICAL.items()}
