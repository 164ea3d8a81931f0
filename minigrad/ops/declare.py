"""How an op is declared: `op` for one with a vjp and a shape rule, `composite` for what is built of ops."""

import inspect
from collections.abc import Callable
from functools import update_wrapper
from typing import NamedTuple

import numpy as np

from minigrad.arguments import REFUSALS, checks_of, described, refuse_unless_all, restated
from minigrad.modes import OFF, ON, RAW, thread
from minigrad.ops.table import Op, composites, dtype_among, on_tape, promote, publish, views
from minigrad.tensor import Tensor, as_array
from minigrad.views import as_view


class Signature(NamedTuple):
    """Of a forward. inputs: its array arguments; options: the others, with their defaults. required: what has none."""

    inputs: list[str]
    options: list[str]
    defaults: dict
    required: list[str]

    @classmethod
    def of(cls, forward: Callable) -> "Signature":
        parameters = list(inspect.signature(forward).parameters.values())
        inputs = [p.name for p in parameters if p.kind is p.POSITIONAL_ONLY]
        options = parameters[len(inputs) :]
        defaults = {p.name: p.default for p in options if p.default is not p.empty}
        return cls(inputs, [p.name for p in options], defaults, [p.name for p in parameters if p.default is p.empty])

    def bind(self, name: str, args: tuple, kwargs: dict) -> tuple[list, dict]:
        """(inputs, params) of a call: inputs come first, each may be given by position or by name."""
        inputs, options, arity = self.inputs, self.options, len(self.inputs)
        given = {**self.defaults, **dict(zip(options, args[arity:])), **kwargs}
        tensors = list(args[:arity])
        tensors += [given.pop(i, None) for i in inputs[len(tensors) :]]
        missing = [i for i, x in zip(inputs, tensors) if x is None and i in self.required]
        missing += [o for o in options if o not in given]
        unknown = [o for o in given if o not in options]
        if missing or unknown or len(args) > arity + len(options):
            problem = f"{missing} missing" if missing else f"unknown {unknown}" if unknown else "too many arguments"
            raise TypeError(f"{name}({', '.join([*inputs, *options])}): {problem}")
        return tensors, given


def op(
    *, shape, sample=None, numpy=None, method=True, name=None, public=True, view=False, place=None, together=None,
    **vjps,
):  # fmt: skip
    """Declare an op: decorates its forward, a function from arrays to an array (or a list of arrays).

    The forward's positional-only arguments are the op's inputs (a default of None marks one that may be missing; the
    name `arrays` means a sequence of tensors), the others its parameters. The remaining arguments of `op` are the vjps,
    each under the name of its input. numpy: the NumPy function(s) that this op stands for. method: whether Tensor has
    it, under which name. public: whether users see it, or only the vjps of other ops. view: whether results share the
    memory of the input, or may; place: of a list of such results, (x's shape, k, **params) -> the index of
    the k-th in x. together: in place of vjps, one of all inputs: (g, ...) -> a list of their cotangents.

    What a parameter's annotation says is checked at each call that gives one (minigrad/arguments.py). For the rest a
    forward may rely on NumPy to refuse what does not fit: when it raises, the shape rule is asked what to say. Where
    it would compute something all the same, it asks the rule itself, first.
    """

    def declare(forward: Callable):
        signature = Signature.of(forward)
        of_inputs = {x: one_of(together, k) for k, x in enumerate(signature.inputs)} if together else vjps
        this = Op(
            name or forward.__name__, signature.inputs, forward, shape, of_inputs, sample, forward.__doc__,
            signature.options, together,
        )  # fmt: skip
        this.public, this.view, this.place, this.defaults = public, view, place, signature.defaults
        this.call = call = update_wrapper(_function(this, signature, checks_of(forward)), forward)
        call.op = this  # type: ignore[attr-defined]
        return publish(call, numpy, method)

    return declare


def one_of(together: Callable, k: int) -> Callable:
    """The vjp of the k-th input alone."""
    vjp = update_wrapper(lambda *args: together(*args)[k], together)  # which has the names of what it wants
    return vjp


def _function(this: Op, signature: Signature, kinds: dict) -> Callable:
    """The public function of an op. kinds: what is checked of its parameters."""
    inputs, options, defaults, required = signature
    variadic, vjps, view = this.variadic, this.vjps, this.view
    arity, full, optional = len(inputs), len(inputs) + len(options), len(defaults) == len(options)
    promoted = [k for k, i in enumerate(inputs) if i in vjps] if len(vjps) > 1 else []
    follows = view and bool(vjps)

    def call(*args, **kwargs):
        mode = thread.mode
        if mode is RAW:
            return this.forward(*args, **kwargs)
        if not kwargs and len(args) == arity and optional:
            tensors, params = args, defaults
        else:
            if not kwargs and len(args) == full:
                tensors, params = args[:arity], dict(zip(options, args[arity:]))
            else:
                tensors, params = signature.bind(this.name, args, kwargs)
            if kinds and params is not defaults:
                refuse_unless_all(kinds, this.name, params.items())
        if variadic:
            tensors = _sequence(this, tensors[0])
        if mode is not ON and mode is not OFF:
            return this.trace(tensors, params, promoted)
        arrays, parents, recorded = [], [], False
        for k, x in enumerate(tensors):
            if isinstance(x, Tensor):
                arrays.append(x._data)
                node = x._node
                parents.append(node)
                recorded = recorded or node is not None
            else:
                missing = x is None and not variadic and inputs[k] not in required
                arrays.append(None if missing else this.operand(k, x, dtype_among(tensors)))
                parents.append(None)
        try:
            if variadic or promoted:
                promote(arrays, promoted if not variadic else range(len(arrays)))
            result = this.forward(arrays, **params) if variadic else this.forward(*arrays, **params)
        except REFUSALS as error:
            this.complain(arrays, params, error)
        if follows and mode is ON:
            made = views(this, tensors[0], arrays[0], parents, params, result)
            if made is not None:
                return made
        if type(result) is not list and type(result) is not np.ndarray:
            result = np.asarray(result)
        if mode is OFF or not recorded or not vjps:
            made = [Tensor(r) for r in result] if type(result) is list else Tensor(result)
        else:
            saved = this.save(result, arrays, **params) if variadic else this.save(result, *arrays, **params)
            made = on_tape(this, parents, params, saved, result)
        return as_view(tensors[0], this, params, made) if view else made

    return call


def _sequence(this: Op, tensors) -> list:
    if not isinstance(tensors, (list, tuple, Tensor, np.ndarray)) or getattr(tensors, "shape", None) == ():
        raise TypeError(f"{this.name}: wanted a sequence of tensors, got {described(tensors)}")
    return list(tensors)


def composite(*, sample, numpy=None, method=True):
    """Declare a function that is built of ops, hence needs neither vjp nor shape rule.

    Its positional-only arguments are inputs, as in `op`: they may be given by name, and reach it as tensors (in a vjp
    on plain arrays, as arrays). What a parameter's annotation says is checked. sample, numpy, method: as in `op`.
    """

    def declare(function: Callable):
        name = function.__name__
        parameters = list(inspect.signature(function).parameters.values())
        inputs = [p for p in parameters if p.kind is p.POSITIONAL_ONLY]
        options = [p.name for p in parameters if p.kind is not p.POSITIONAL_ONLY]
        kinds = checks_of(function)

        def call(*args, **kwargs):
            if thread.mode is RAW:
                return function(*args, **kwargs)
            refuse_unless_all(kinds, name, (*zip(options, args[len(inputs) :]), *kwargs.items()))
            given = list(args)
            for p in inputs[len(args) :]:
                if p.name not in kwargs and p.default is p.empty:
                    break
                given.append(kwargs.pop(p.name, p.default))
            like = dtype_among(given)
            for k, p in enumerate(inputs[: len(given)]):
                x = given[k]
                if isinstance(x, Tensor) or p.name == "arrays" or (x is None and p.default is None):
                    continue
                try:
                    given[k] = Tensor(as_array(x, like=like))
                except REFUSALS as error:
                    reason = str(error).removeprefix("tensor: ")
                    raise restated(error, f"{name}: input '{p.name}' is a {type(x).__name__}: {reason}") from None
            try:
                return function(*given, **kwargs)
            except REFUSALS as error:
                raise restated(error, f"{name}: {error}") from None

        update_wrapper(call, function)
        call.sample = sample
        composites[name] = call
        return publish(call, numpy, method)

    return declare
