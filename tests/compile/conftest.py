import pytest
from interpreter import interpreted

from minigrad.kernels import loops


@pytest.fixture
def quick_kernels(request):
    """Loops run as the text of their kernels, which is quicker than to compile them; but where a test is `compiled`."""
    if "compiled" in request.fixturenames or loops.INTERPRETED:
        yield
    else:
        with interpreted():
            yield


@pytest.fixture
def compiled():
    if loops.INTERPRETED:
        pytest.skip("the JIT is off: nothing is compiled")
