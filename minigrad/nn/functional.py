"""A module's call as a function of its parameters."""

from collections.abc import Mapping
from typing import Any

from minigrad.arguments import checked
from minigrad.nn.module import Module
from minigrad.tensor import as_tensor


@checked
def functional_call(module: Module, parameters: Mapping, *args: Any, **kwargs: Any) -> Any:
    """module(*args, **kwargs) with these tensors in the place of its parameters of these names, as PyTorch's.

    parameters: by name (`dict(module.named_parameters())` is of this kind), of the parameters' shapes and dtypes; those
    that it does not name stay what they are. So transforms can take parameters as an argument. Gradients of each sample
    of a layer, in one compiled call:

        >>> layer = mg.nn.Linear(2, 1)
        >>> def loss(parameters, x, y):
        ...     return ((nn.functional_call(layer, parameters, x) - y) ** 2).sum()
        >>> of_each = mg.jit(mg.vmap(mg.grad(loss), in_axes=(None, 0, 0)))
        >>> parameters = {name: p.detach() for name, p in layer.named_parameters()}
        >>> of_each(parameters, np.ones((5, 2), "float32"), np.ones((5, 1), "float32"))["weight"].shape
        (5, 1, 2)

    No other thread may use the module meanwhile.

    Raises ValueError for a name that no parameter has, a shape or dtype that is not the parameter's.
    """
    own = module._by_name()
    values = {}
    for name, value in parameters.items():
        if name not in own:
            raise ValueError(f"functional_call: {type(module).__name__} has no parameter {name!r}: {', '.join(own)}")
        values[name] = value = as_tensor(value, like=own[name].dtype)
        if (value.shape, value.dtype) != (own[name].shape, own[name].dtype):
            raise ValueError(
                f"functional_call: {name} is {value.dtype}{list(value.shape)}, wanted that of the parameter, "
                f"{own[name].dtype}{list(own[name].shape)}"
            )
    before = [(own[name], own[name]._data, own[name]._node) for name in values]
    try:
        for name, value in values.items():
            own[name]._data, own[name]._node = value._data, value._node
        return module(*args, **kwargs)
    finally:
        for parameter, data, node in before:
            parameter._data, parameter._node = data, node
