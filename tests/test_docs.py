"""Every code cell of the docs, every Python block of the README and every example in a docstring runs."""

import doctest
import re
from pathlib import Path

import matplotlib.pyplot
import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim

ROOT = Path(__file__).parents[1]
CELL = re.compile(r"^```(?:\{code-cell\}[^\n]*|python)\n((?::[^\n]*\n)*)(.*?)^```$", re.M | re.S)
PAGES = [path for path in [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))] if CELL.search(path.read_text())]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_code_of_a_page_runs(page, tmp_path, monkeypatch):
    matplotlib.use("Agg")
    monkeypatch.chdir(tmp_path)
    text = page.read_text()
    cells = list(CELL.finditer(text))
    assert len(cells) == len(re.findall(r"^```(?:\{code-cell|python)", text, re.M))
    file = tmp_path / "page.py"  # for those who look for the source of a function
    names: dict = {"__name__": "__main__"}
    written = ""
    for cell in cells:
        options, code = cell.groups()
        before = written.count("\n")
        written += code
        file.write_text(written)
        program = compile("\n" * before + code, str(file), "exec")
        if "raises-exception" in options:
            with pytest.raises(Exception) as raised:
                exec(program, names)
            assert not isinstance(raised.value, (NameError, AttributeError, SyntaxError)), raised.value
        else:
            exec(program, names)
    matplotlib.pyplot.close("all")


PUBLIC = {f"{m.__name__}.{name}": f for m in (mg, mg.random, mg.training, nn, optim) for name, f in vars(m).items()
          if callable(f) and ">>> " in (getattr(f, "__doc__", None) or "")}  # fmt: skip


@pytest.mark.parametrize("name", PUBLIC)
def test_the_example_of_a_docstring_gives_what_it_says(name):
    names = {"mg": mg, "np": np, "nn": nn, "optim": optim}
    example = doctest.DocTestParser().get_doctest(PUBLIC[name].__doc__, names, name, None, 0)
    assert doctest.DocTestRunner().run(example).failed == 0
