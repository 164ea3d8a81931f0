"""The models' tests run twice: as they are, and with every `Recurrent` layer called through `mg.jit`."""

import weakref

import pytest

import minigrad as mg
from minigrad import nn
from minigrad.models import Recurrent


def pytest_configure(config):
    config.addinivalue_line("markers", "eager_only(reason): makes no sense jitted, and why")


def pytest_generate_tests(metafunc):
    if not metafunc.definition.get_closest_marker("eager_only"):
        metafunc.parametrize("_called", ["eager", "jit"], indirect=True)


@pytest.fixture(autouse=True)
def _called(request, monkeypatch):
    if getattr(request, "param", "eager") != "jit":
        return
    layers: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()

    def call(self, *args, **kwargs):
        if self not in layers:
            itself = weakref.proxy(self)  # what a dictionary with weak keys holds must not hold its keys
            layers[self] = mg.jit(lambda *args, **kwargs: nn.Module.__call__(itself, *args, **kwargs))
        return layers[self](*args, **kwargs)

    monkeypatch.setattr(Recurrent, "__call__", call, raising=False)
