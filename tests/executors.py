"""Executors for tests of sweeps."""

from concurrent.futures import Executor, Future


class Now(Executor):
    """An executor that runs what it is given at once."""

    def submit(self, f, *arguments):
        future: Future = Future()
        try:
            future.set_result(f(*arguments))
        except Exception as error:
            future.set_exception(error)
        return future
