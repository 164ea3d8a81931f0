"""Inside the programs of others: `interop.torch` and `interop.jax`, each imported when it is asked for."""

from importlib import import_module

FRAMEWORKS = ("jax", "torch")


def __getattr__(name: str):
    if name not in FRAMEWORKS:
        raise AttributeError(f"module 'minigrad.interop' has no attribute {name!r}")
    return import_module(f"minigrad.interop.{name}")


def __dir__():
    return sorted({*globals(), *FRAMEWORKS})
