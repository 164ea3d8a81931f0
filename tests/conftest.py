"""Hypothesis draws the same examples in every run; `HYPOTHESIS_PROFILE=search pytest` looks for new ones."""

import gc
import os
import signal

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings

quiet = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
settings.register_profile(
    "default", max_examples=12, deadline=None, derandomize=True, database=None, suppress_health_check=quiet,
    phases=[Phase.explicit, Phase.generate],
)  # fmt: skip
settings.register_profile("search", max_examples=300, deadline=None, print_blob=True, suppress_health_check=quiet)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.fixture(scope="session")
def torch():
    """PyTorch; a test that takes it is one of parity, and is skipped where the extra of that name is not installed."""
    return pytest.importorskip("torch")


def pytest_collection_modifyitems(items):
    for item in items:
        if "torch" in getattr(item, "fixturenames", ()):
            item.add_marker("parity")


@pytest.fixture(autouse=True)
def _interrupts():
    """Signals as in a terminal: in the background SIGINT is ignored, under nohup SIGHUP, in child processes too."""
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGHUP: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in usual.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(autouse=True)
def _seed():
    np.random.seed(0)


@pytest.fixture(autouse=True, scope="module")
def _settled():
    """What a file of tests leaves behind (programs, kernels, modules) is not looked at again by every collection."""
    yield
    gc.collect()
    gc.freeze()
