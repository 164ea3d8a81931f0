"""Dead code and common subexpressions.

    before                                   after
    a = x @ W                                a = x @ W
    b = x @ W            (the same again)    y = tanh(a) + a
    c = reshape(b, b.shape)   (nothing)
    d = exp(a)           (nobody needs it)
    y = tanh(a) + c

Of a loop, results that nobody needs go, then the carries that only they needed; what enters it twice enters once.
Values that a checkpoint will compute again are not merged with those it saves.
"""

from minigrad.ir import rules
from minigrad.ir.loop import Loop
from minigrad.ir.rewrite import order_of, picks_of, rewrite, same
from minigrad.ir.trace import Value


def clean(program, roots: list) -> list:
    """The roots, rebuilt."""
    picks = picks_of(roots)
    for value in reversed(order_of(roots)):
        if isinstance(value.op, Loop):
            prune(value, picks.get(value, {}))
    seen: dict = {}

    def rule(value, inputs):
        if value.op is None or value in program.effects:
            return None
        identity = rules.rule_of(value.op).identity
        alias = None if identity is None else identity(value, inputs)
        if alias is None and inputs != value.inputs:
            alias = canonical_form(program, value, inputs)
        if alias is not None:
            return alias
        if isinstance(value.op, Loop):
            inputs = unify(value.op, inputs)
        key = (value.op, value.recompute, inputs, frozen(value.params))
        if key not in seen:
            seen[key] = same(value, inputs)
        return seen[key]

    became = rewrite(roots, rule)
    return [became[r] if isinstance(r, Value) else r for r in roots]


def frozen(params):
    if isinstance(params, dict):
        return tuple([(k, frozen(v)) for k, v in sorted(params.items())])
    if isinstance(params, (list, tuple)):
        return tuple([frozen(v) for v in params])
    if isinstance(params, slice):
        return "slice", params.start, params.stop, params.step
    try:
        hash(params)
    except TypeError:
        return id(params)
    return type(params), params


def canonical_form(program, value, inputs):
    """What its op is on these inputs, if that is something else: a transpose of what has become a transpose, say."""
    outer, program.recomputing = program.recomputing, value.recompute
    try:
        return rules.canonical_form(program, value.op, inputs, value.params)
    finally:
        program.recomputing = outer


def prune(value: Value, picks: dict) -> None:
    """Take out of a loop what nobody needs."""
    loop = value.op
    n, m = len(loop.carries), len(loop.sums)
    ys = [k for k in range(len(loop.ys)) if n + m + k in picks]
    sums = [k for k in range(m) if n + k in picks]
    roots = [loop.sums[k] for k in sums] + [loop.ys[k] for k in ys]
    carries = [k for k in range(n) if k in picks]
    control = loop.outputs[len(loop.results) :]
    while True:  # a carry that a needed one rests on is needed
        needed = set(order_of(roots + control + [loop.carry_outs[k] for k in carries]))
        more = [k for k in range(n) if loop.carries[k] in needed or k in carries]
        if more == carries:
            break
        carries = more
    order = carries + [n + k for k in sums] + [n + m + k for k in ys]
    value.shape = [value.shape[k] for k in order]
    for new, old in enumerate(order):
        if old in picks:
            picks[old].params = new
    needed.update([loop.carries[k] for k in carries])  # one that is set and never read is a carry all the same
    keep_inputs(value, lambda v: v in needed)
    loop.carry_outs = [loop.carry_outs[k] for k in carries]
    loop.sums, loop.ys = [loop.sums[k] for k in sums], [loop.ys[k] for k in ys]
    outputs = clean(loop.body, loop.outputs)
    place(loop, outputs)


def keep_inputs(value: Value, needed) -> None:
    loop = value.op
    pairs = [(v, outside) for v, outside in zip(loop.inputs, value.inputs) if needed(v)]
    kept = {v for v, _ in pairs}
    loop.consts = [v for v in loop.consts if v in kept]
    loop.carries = [v for v in loop.carries if v in kept]
    loop.streams = [v for v in loop.streams if v in kept]
    value.inputs = tuple([outside for _, outside in pairs])


def place(loop: Loop, outputs: list) -> None:
    """Let a loop have other values in the place of its outputs."""
    n, m, k = len(loop.carry_outs), len(loop.sums), len(loop.results)
    loop.carry_outs, loop.sums, loop.ys = outputs[:n], outputs[n : n + m], outputs[n + m : k]
    rest = iter(outputs[k:])
    loop.count, loop.go = [None if v is None else next(rest) for v in (loop.count, loop.go)]


def unify(loop: Loop, outside: tuple) -> tuple:
    """Make one of two constants, or two streams, that are the same outside. Returns what still enters the loop."""
    first: dict = {}
    became = {}
    sources = dict(zip(loop.inputs, outside))
    for part in (loop.consts, loop.streams):
        for v in part:
            became[v] = first.setdefault((sources[v], part is loop.consts), v)
    if all(v is w for v, w in became.items()):
        return outside
    mapping = rewrite(loop.outputs, lambda value, inputs: became.get(value))
    place(loop, clean(loop.body, [mapping[r] for r in loop.outputs]))
    loop.consts = [v for v in loop.consts if became[v] is v]
    loop.streams = [v for v in loop.streams if became[v] is v]
    return tuple([sources[v] for v in loop.inputs])
