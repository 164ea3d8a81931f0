"""Module: a function with parameters, which are plain attributes.

Nothing is registered. What a module holds is found when it is asked for, by looking through its attributes, and through
the lists, tuples and dicts among them.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self

import numpy as np

from minigrad import html
from minigrad.arguments import checked
from minigrad.exchange import array_of
from minigrad.modes import clock, no_grad
from minigrad.sharing import Sharable, key_of
from minigrad.tape import Leaf
from minigrad.tensor import Tensor, as_array


class Parameter(Tensor):
    """A tensor that a module trains: a float array (a copy of `data`) that requires a gradient.

    Examples
    --------
    >>> nn.Parameter(np.zeros(2, "float32")).requires_grad
    True
    """

    __slots__ = ()

    @checked
    def __init__(self, data: Any, requires_grad: bool = True):
        super().__init__(np.array(as_array(data), order="C"))
        self.requires_grad_(requires_grad)

    def __repr__(self) -> str:
        return "Parameter" + super().__repr__().removeprefix("tensor")


class Buffer(Tensor):
    """A tensor that a module keeps and does not train, a running mean say: an array (a copy of `data`) that is in the
    module's state dict and not among its parameters. Off the tape unless something on it is assigned.

        self.mean = nn.Buffer(np.zeros(3))
        self.mean = (0.9 * self.mean + 0.1 * x.mean(0)).detach()  # stays a buffer

    Examples
    --------
    >>> model = nn.Linear(2, 1)
    >>> model.register_buffer("mean", np.zeros(2, "float32"))
    >>> "mean" in model.state_dict(), len(list(model.parameters()))
    (True, 2)
    """

    __slots__ = ()

    @checked
    def __init__(self, data: Any):
        super().__init__(np.array(as_array(data), order="C"))

    def __repr__(self) -> str:
        return "Buffer" + super().__repr__().removeprefix("tensor")


class Module(Sharable):
    """Base of layers and models: write `forward`, keep parameters and other modules as attributes.

        class Affine(Module):
            def __init__(self, size):
                self.scale = Parameter(np.ones(size, "float32"))

            def forward(self, x):
                return x * self.scale

    Attributes may be plain lists, tuples and dicts of them (PyTorch's ModuleList and ModuleDict). `training` is True
    until `eval()` is called. A parameter's name is the path to it, as in PyTorch: "layers.0.weight".

    Examples
    --------
    >>> class Scale(nn.Module):
    ...     def __init__(self, size):
    ...         self.scale = nn.Parameter(np.ones(size, "float32"))
    ...     def forward(self, x):
    ...         return x * self.scale
    >>> model = Scale(3)
    >>> model(mg.ones(3)).tolist(), [name for name, _ in model.named_parameters()]
    ([1.0, 1.0, 1.0], ['scale'])
    """

    training = True
    forward_hooks: dict[int, Callable] | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        result = self.forward(*args, **kwargs)
        if self.forward_hooks:
            for hook in list(self.forward_hooks.values()):
                replaced = hook(self, args, result)
                result = result if replaced is None else replaced
        return result

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Tensor) and isinstance(vars(self).get(name), Buffer):
            value = as_buffer(value)
        super().__setattr__(name, value)

    @checked
    def register_forward_hook(self, hook: Callable) -> Callable[[], None]:
        """Call hook(module, args, result) after each call of this module; what it returns, unless None, is the result.

        Returns a function that removes the hook. In a jitted function the hook is a part of it, called while it is
        traced.
        """
        registration = next(clock)
        self.forward_hooks = {**(self.forward_hooks or {}), registration: hook}

        def remove() -> None:
            self.forward_hooks = {k: f for k, f in (self.forward_hooks or {}).items() if k != registration}

        return remove

    @checked
    def register_buffer(self, name: str, value: Any) -> None:
        """Keep value as a `Buffer` under this name: self.name = nn.Buffer(value)."""
        setattr(self, name, Buffer(value))

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has no forward method")

    def children(self) -> Iterator["Module"]:
        """The modules that this one holds itself."""
        return (part for _, part in self._parts() if isinstance(part, Module))

    def named_modules(self, prefix: str = "", seen: dict | None = None) -> Iterator[tuple[str, "Module"]]:
        """This module and all below it, parents first, each once, with their names (its own is "")."""
        seen = {} if seen is None else seen
        if key_of(self) in seen:
            return
        seen[key_of(self)] = self
        yield prefix, self
        for name, part in self._parts(prefix):
            if isinstance(part, Module):
                yield from part.named_modules(name, seen)

    def modules(self) -> Iterator["Module"]:
        """This module and all below it, each once."""
        return (module for _, module in self.named_modules())

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Every parameter once, with its (first) name; a module's own before those of the modules in it."""
        yield from self._once(Parameter)

    def parameters(self) -> Iterator[Parameter]:
        """Every parameter once, in the order of `named_parameters`."""
        return (parameter for _, parameter in self.named_parameters())

    def named_buffers(self) -> Iterator[tuple[str, Buffer]]:
        """Every buffer once, with its (first) name, in the order of `named_parameters`."""
        yield from self._once(Buffer)

    def buffers(self) -> Iterator[Buffer]:
        """Every buffer once."""
        return (buffer for _, buffer in self.named_buffers())

    def _once(self, kind: type) -> Iterator[tuple[str, Any]]:
        seen = set()
        for name, part in self._by_name().items():
            if isinstance(part, kind) and id(part) not in seen:
                seen.add(id(part))
                yield name, part

    def _parts(self, prefix: str = "") -> Iterator[tuple[str, Any]]:
        """The parameters, buffers and modules that this one holds itself, with their names."""
        return _parts(vars(self), prefix)

    def _every_name(self, prefix: str = "", above: tuple = ()) -> Iterator[tuple[str, Parameter | Buffer]]:
        """Parameters and buffers; one that is shared comes under each of its names, as in PyTorch's state dicts."""
        parts = list(self._parts(prefix))
        above = (*above, key_of(self))
        yield from ((name, part) for name, part in parts if isinstance(part, (Parameter, Buffer)))
        for name, part in parts:
            if isinstance(part, Module) and key_of(part) not in above:
                yield from part._every_name(name, above)

    def _by_name(self) -> dict[str, Parameter | Buffer]:
        """Every parameter and buffer under each of its names. Raises ValueError if two have the same one."""
        named: dict[str, Parameter | Buffer] = {}
        for name, part in self._every_name():
            if named.setdefault(name, part) is not part:
                raise ValueError(
                    f"{type(self).__name__}: two parameters are called {name!r}, so a state dict would lose one; "
                    "rename an attribute, or a key with a dot in it"
                )
        return named

    @checked
    def train(self, mode: bool = True) -> Self:
        """Set `training` here and below. Returns the module."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Leave training: dropout passes everything through. Returns the module."""
        return self.train(False)

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for parameter in self.parameters():
            if parameter.requires_grad:
                parameter.grad = None

    @checked
    def astype(self, dtype: Any) -> Self:
        """Convert every parameter and float buffer to `dtype` (float32 or float64), in place; gradients are dropped.
        Returns the module.

        Make the optimizer afterwards: its state has the parameters' dtype.
        """
        dtype = np.dtype(dtype)
        if dtype not in (np.float32, np.float64):
            raise TypeError(f"astype: parameters are float32 or float64, got {dtype}")
        for part in self._by_name().values():
            if part.dtype != dtype and part.dtype.kind == "f":
                part._data = part._data.astype(dtype)
                if part.requires_grad:
                    part._node = Leaf(part.shape, dtype)
        return self

    def state_dict(self) -> dict[str, np.ndarray]:
        """Copies of all parameters and buffers, by name."""
        return {name: part._data.copy() for name, part in self._by_name().items()}

    def check_state_dict(self, state: Mapping[str, Any]) -> None:
        """Raise what `load_state_dict` would raise, and change nothing."""
        fit(dict(self._every_name()), state, type(self).__name__)

    @checked
    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> tuple[list[str], list[str]]:
        """Overwrite parameters and buffers with values by name: NumPy arrays, our tensors or PyTorch's; dtypes stay.

        Returns the names that are missing and those that nothing here is called; if there are any and `strict`, or if a
        shape or dtype does not fit, raises ValueError with all that is wrong, and nothing has been changed.
        """
        own = self._by_name()
        arrays, missing, unexpected = fit(own, state, type(self).__name__, strict)
        with no_grad():
            for name, array in arrays.items():
                own[name].copy_(array)
        return missing, unexpected

    def __repr__(self) -> str:
        """One line for each module: its settings, its parameters; the modules in it below, indented."""
        return "\n".join(self._lines(()))

    def _lines(self, above: tuple) -> list[str]:
        """Of `repr`. above: keys of the modules that this one is in, which are not written again."""
        above = (*above, key_of(self))
        parts = list(self._parts())
        settings = [f"{k}={v!r}" for k, v in vars(self).items() if k != "training" and _is_setting(v)]
        lines = [f"{type(self).__name__}({', '.join(settings)})"]
        own = [f"{name} {part.dtype}{list(part.shape)}" for name, part in parts if not isinstance(part, Module)]
        lines[0] += ": " + ", ".join(own) if own else ""
        for name, part in parts:
            if isinstance(part, Module) and key_of(part) not in above:
                inner = part._lines(above) if type(part).__repr__ is Module.__repr__ else repr(part).split("\n")
                lines += [f"  {name}: {inner[0]}", *[f"  {line}" for line in inner[1:]]]
        return lines

    def _repr_html_(self) -> str:
        return html.of_module(self)


def _parts(attributes: Mapping, prefix: str) -> Iterator[tuple[str, Any]]:
    """The parameters, buffers and modules in a dict, and in dicts, lists and tuples in it, with their names."""
    for key, value in attributes.items():
        name = f"{prefix}.{key}" if prefix else str(key)
        if isinstance(value, (Module, Parameter, Buffer)):
            yield name, value
        elif isinstance(value, (list, tuple)):
            yield from _parts(dict(enumerate(value)), name)
        elif isinstance(value, dict):
            yield from _parts(value, name)


def as_buffer(t: Tensor) -> Buffer:
    """A buffer with the values of t, in its memory."""
    made = object.__new__(Buffer)
    made._data, made._node = t._data, t._node
    return made


def _is_setting(value) -> bool:
    if isinstance(value, tuple):
        return bool(value) and all(_is_setting(v) for v in value)
    return isinstance(value, (bool, int, float, str))


def fit(own: Mapping[str, Any], given: Mapping[str, Any], owner: str, strict: bool = True):
    """(arrays, missing names, unexpected names): what of `given` goes into `own`, as arrays of its dtypes.

    Raises ValueError with everything that is wrong.
    """
    missing = [name for name in own if name not in given]
    unexpected = [name for name in given if name not in own]
    problems = []
    if strict and missing:
        problems.append(f"missing: {', '.join(missing)}")
    if strict and unexpected:
        problems.append(f"unexpected: {', '.join(map(str, unexpected))}")
    arrays = {}
    for name, wanted in own.items():
        if name in given:
            array = array_of(given[name])
            if array.shape != wanted.shape:
                problems.append(f"{name}: got shape {array.shape}, wanted {wanted.shape}")
            elif not np.can_cast(array.dtype, wanted.dtype, "same_kind"):
                problems.append(f"{name}: got {array.dtype}, wanted {wanted.dtype}")
            else:
                arrays[name] = array.astype(wanted.dtype, copy=False)
    if problems:
        raise ValueError(f"load_state_dict of {owner}: " + "; ".join(problems))
    return arrays, missing, unexpected
