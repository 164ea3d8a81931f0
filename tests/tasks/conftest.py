import sys

import pytest

from minigrad import cli


@pytest.fixture
def minigrad(monkeypatch, capsys):
    """Calls the command; returns (exit code, stdout, stderr)."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["minigrad", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        return (stop.value.code or 0, *capsys.readouterr())

    return call
