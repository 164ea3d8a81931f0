"""Every code cell of the docs and every Python block of the README runs, each page from top to bottom."""

import re
from pathlib import Path

import matplotlib.pyplot
import pytest

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
