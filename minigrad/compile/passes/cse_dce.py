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
from minigrad.ir.rewrite import order_of, picks_of, rebuilt, same
from minigrad.ir.trace import Pick
from minigrad.symbolic import Symbolic, key_of


def cse_dce(program, roots: list) -> list:
    """The roots, rebuilt."""
    picks = picks_of(roots)
    places: dict = {}  # of each loop: where its results have gone
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
            loop, inputs, places[value] = pruned(value.op, inputs, picks.get(value, {}))
            loop, inputs = unified(loop, inputs)
            return value.of(inputs, op=loop, shape=loop.specs())
        made = same(value, inputs)
        if value.op is Pick and value.inputs[0] in places:
            made = value.of(inputs, params=places[value.inputs[0]][value.params])
        return seen.setdefault((made.op, made.recompute, made.inputs, frozen(made.params)), made)

    return rebuilt(roots, rule)


def frozen(params):
    if isinstance(params, dict):
        return tuple([(k, frozen(v)) for k, v in sorted(params.items())])
    if isinstance(params, (list, tuple)):
        return tuple([frozen(v) for v in params])
    if isinstance(params, slice):
        return "slice", *map(frozen, (params.start, params.stop, params.step))
    if isinstance(params, Symbolic):
        return key_of(params)
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


def pruned(loop: Loop, outside: tuple, picks) -> tuple[Loop, tuple, dict]:
    """A loop without what nobody needs; what enters it; and where those of its results are now that are picked."""
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
    needed.update([loop.carries[k] for k in carries])  # one that is set and never read is a carry all the same
    order = carries + [n + k for k in sums] + [n + m + k for k in ys]
    consts, kept, streams = [[v for v in part if v in needed] for part in (loop.consts, loop.carries, loop.streams)]
    made = loop.replace(
        consts=consts, carries=kept, streams=streams, carry_outs=[loop.carry_outs[k] for k in carries],
        sums=[loop.sums[k] for k in sums], ys=[loop.ys[k] for k in ys],
    )  # fmt: skip
    sources = dict(zip(loop.inputs, outside))
    made = made.with_outputs(cse_dce(loop.body, made.outputs))
    return made, tuple([sources[v] for v in made.inputs]), {old: new for new, old in enumerate(order)}


def unified(loop: Loop, outside: tuple) -> tuple[Loop, tuple]:
    """A loop in which two constants, or two streams, that are the same outside are one; and what enters it."""
    first: dict = {}
    became = {}
    sources = dict(zip(loop.inputs, outside))
    for part in (loop.consts, loop.streams):
        for v in part:
            became[v] = first.setdefault((sources[v], part is loop.consts), v)
    if all(v is w for v, w in became.items()):
        return loop, outside
    outputs = cse_dce(loop.body, rebuilt(loop.outputs, lambda value, inputs: became.get(value)))
    consts, streams = [[v for v in part if became[v] is v] for part in (loop.consts, loop.streams)]
    loop = loop.with_outputs(outputs).replace(consts=consts, streams=streams)
    return loop, tuple([sources[v] for v in loop.inputs])
