import pytest
import wellformed
from interpreter import interpreted

from minigrad.compile import compiled as of_jit
from minigrad.compile import stages
from minigrad.kernels import loops


@pytest.fixture(autouse=True)
def checked_programs(monkeypatch):
    """Every program is looked at after each pass."""
    optimise = of_jit.optimise

    def watched(program, roots, log=None):
        def looked_at(name, roots):
            try:
                wellformed.check(roots)
            except AssertionError as error:
                raise AssertionError(f"after the pass {name!r}: {error}") from error
            if log:
                log(name, roots)

        return optimise(program, roots, looked_at)

    for module in (of_jit, stages):
        monkeypatch.setattr(module, "optimise", watched)


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
