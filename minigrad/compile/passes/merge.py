"""Products that share an operand become one.

    before                                   after
    i = h @ W_i                              W = concatenate([W_i, W_f], axis=1)       (once)
    f = h @ W_f                              i, f = (h @ W)[:, :H], (h @ W)[:, H:]

    d = di @ V_i + df @ V_f                  V = concatenate([V_i, V_f], axis=0)       (once)
                                             d = concatenate([di, df], axis=-1) @ V

The weights are what does not change from step to step (in a loop), or rests on parameters alone (outside). And the
product of a concatenation is taken apart, so that the part that does not depend on the carry can leave the loop:

    before                                   after
    a = concatenate([x, h], -1) @ W          a = x @ W[:I] + h @ W[I:]
"""

from minigrad.ir.loop import within_loops
from minigrad.ir.rewrite import (
    by_level,
    is_a,
    is_addition,
    is_elementwise,
    is_join,
    is_part,
    is_product,
    is_view,
    order_of,
    rebuilt,
    rewrite,
)
from minigrad.ir.rules.batch import ops_of
from minigrad.ir.rules.kernel import Cast
from minigrad.ir.trace import Value


def weights_of(roots, constants) -> set:
    """Values that rest on constants alone, through views and casts."""
    fixed = set(constants)
    for v in order_of(roots):
        if v.op is not None and (is_view(v) or is_a(v, Cast) or is_join(v)) and all(x in fixed for x in v.inputs):
            fixed.add(v)
    return fixed


def is_weighted(v, fixed: set) -> bool:
    """Whether it is a product with a weight."""
    return is_product(v) and v.inputs[1] in fixed and v.inputs[1].ndim == 2


def take_apart(program, roots: list) -> list:
    """In loops: concatenate([x, h], -1) @ W as x @ W[:I] + h @ W[I:], and slices of a product as products, where the
    parts may part: where some of them depend on the carry, or the carry on them, and others not."""

    def within(loop):
        body, outputs = loop.body, take_apart(loop.body, loop.outputs)
        fixed = weights_of(outputs, loop.consts)
        moving, needed = set(loop.carries), set(order_of(outputs[: len(loop.carries)]))
        for v in order_of(outputs):
            if any(x in moving for x in v.inputs):
                moving.add(v)
        pieces: dict = {}  # of a product: its slices
        for v in order_of(outputs):
            if is_part(v):
                pieces.setdefault(v.inputs[0], []).append(v)

        def rule(value, inputs):
            if is_part(value) and is_weighted(value.inputs[0], fixed):
                which = columns_in(value)
                if which is None or one_fate(pieces[value.inputs[0]], needed):
                    return None
                return columns(body, inputs[0], which)
            if not (is_weighted(value, fixed) and is_join(value.inputs[0])):
                return None
            joined, w = inputs
            last = joined.params["axis"] == joined.ndim - 1
            if not last or one_fate(value.inputs[0].inputs, moving):
                return None
            total, start = None, 0
            for x in joined.inputs:
                part = ops_of(body).getitem(w, index=(slice(start, start + x.shape[-1]),))
                product = ops_of(body).matmul(x, part)
                total = product if total is None else ops_of(body).add(total, product)
                start += x.shape[-1]
            return total

        return rebuilt(outputs, rule)

    return within_loops(roots, within)


def columns_in(v) -> slice | None:
    """The columns that a slice takes of something, if it takes them of every row and one after another."""
    *rows, last = v.params["index"]
    whole = [part == slice(0, n, 1) for part, n in zip(rows, v.inputs[0].shape)]
    return last if all(whole) and isinstance(last, slice) and last.step == 1 else None


def columns(program, product, which: slice):
    """Some columns of a product, or of the sum of products that it was taken apart to."""
    if is_addition(product):
        return ops_of(program).add(*[columns(program, x, which) for x in product.inputs])
    a, w = product.inputs
    return ops_of(program).matmul(a, ops_of(program).getitem(w, index=(slice(None), which)))


def one_fate(values, group) -> bool:
    return len({v in group for v in values}) == 1


def merge(program, roots: list, constants) -> list:
    """One product in place of several with the same left operand, and in place of a sum of several."""
    roots = within_loops(roots, lambda loop: merge(loop.body, loop.outputs, loop.consts))
    fixed = weights_of(roots, constants)
    shared = with_one_left_operand(roots, fixed)
    sums = sums_of_products(roots, fixed, shared)
    o = ops_of(program)
    made: dict = {}

    def rule(value, inputs):
        if value in shared:
            group = shared[value]
            key = group[0]
            if key not in made:
                weights = [became[v.inputs[1]] for v in group]
                product = o.matmul(inputs[0], o.concatenate(*weights, axis=1))
                made[key] = o.split(product, sections=[w.shape[1] for w in weights], axis=-1)
            return made[key][group.index(value)]
        if value in sums:
            group = sums[value]
            left = [became[v.inputs[0]] for v in group]
            joined = o.concatenate(*left, axis=left[0].ndim - 1)
            return o.matmul(joined, o.concatenate(*[became[v.inputs[1]] for v in group], axis=0))
        return None

    def weights_first(roots):
        order = by_level(roots)
        return [v for v in order if v in fixed] + [v for v in order if v not in fixed]

    became: dict = {}
    rewrite(roots, rule, weights_first, became)
    return [became[r] if isinstance(r, Value) else r for r in roots]


def with_one_left_operand(roots: list, fixed: set) -> dict[Value, list[Value]]:
    """For each product with a weight that is not the only one of its left operand, all of these."""
    groups: dict = {}
    for v in by_level(roots):
        if is_weighted(v, fixed) and v.inputs[0] not in fixed:
            groups.setdefault(v.inputs[0], []).append(v)
    return {v: group for group in groups.values() if len(group) > 1 for v in group}


def sums_of_products(roots: list, fixed: set, shared: dict) -> dict[Value, list[Value]]:
    """For each sum of nothing but products with weights, which nothing else needs, its terms."""
    uses: dict = {}
    for x in [*[x for v in order_of(roots) for x in v.inputs], *roots]:
        uses[x] = uses.get(x, 0) + 1

    def is_term(v) -> bool:
        return is_weighted(v, fixed) and is_elementwise(v.inputs[0]) and v not in shared

    mergeable: set = set()  # terms, and sums of nothing else
    for v in order_of(roots):
        parts = is_addition(v) and all(x in mergeable and x.shape == v.shape and uses[x] == 1 for x in v.inputs)
        if parts or is_term(v):
            mergeable.add(v)
    sums: dict = {}
    covered: set = set()
    for v in reversed(order_of(roots)):
        if v in mergeable and is_addition(v) and v not in covered:
            sums[v], unseen = [], [v]
            while unseen:
                x = unseen.pop()
                if is_addition(x):
                    covered.add(x)
                    unseen += reversed(x.inputs)
                else:
                    sums[v].append(x)
    return sums
