"""Every code cell of the docs, every Python block of the README and every example in a docstring runs."""

import doctest
import re
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot
import numpy as np
import pytest

import minigrad as mg
import minigrad.observe
from minigrad import models, nn, optim
from minigrad.kernels import threads

ROOT = Path(__file__).parents[1]
CELL = re.compile(r"^```(?:\{code-cell\}[^\n]*|python)\n((?::[^\n]*\n)*)(.*?)^```$", re.M | re.S)
PAGES = [path for path in [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))] if CELL.search(path.read_text())]


def of_page(page):
    marks = [pytest.mark.parity] if "\nimport torch\n" in page.read_text() else []
    return pytest.param(page, marks=marks, id=str(page.relative_to(ROOT)))


@pytest.mark.parametrize("page", [of_page(page) for page in PAGES])
def test_the_code_of_a_page_runs(page, tmp_path, monkeypatch, request):
    if request.node.get_closest_marker("parity"):
        pytest.importorskip("torch")
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


MODULES = [
    mg, mg.random, mg.tree, mg.io, nn, nn.init, optim, mg.testing, mg.training, mg.distributed, mg.viz, models,
    minigrad.observe,
]  # fmt: skip
PUBLIC = {
    f"{module.__name__}.{name}": getattr(module, name)
    for module in MODULES
    for name in module.__all__
    if callable(getattr(module, name))
}
EXAMPLES = [name for name, f in PUBLIC.items() if ">>> " in (f.__doc__ or "")]


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_example_of_a_docstring_gives_what_it_says(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(threads, "count", threads.count)
    names = {"mg": mg, "np": np, "nn": nn, "optim": optim, "models": models}
    example = doctest.DocTestParser().get_doctest(PUBLIC[name].__doc__, names, name, None, 0)
    assert doctest.DocTestRunner().run(example).failed == 0


def test_what_docs_and_docstrings_name_is_there_after_import_minigrad_alone():
    """The tests above run where other tests have imported the submodules; a reader's first cell runs where none is."""
    texts = [path.read_text() for path in [*PAGES, *(ROOT / "minigrad").rglob("*.py")]]
    names = sorted({name for text in texts for name in re.findall(r"\bmg(?:\.\w+)+", text)})
    looks = "import sys, minigrad as mg\nfor name in sys.argv[1:]: eval(name)"
    assert "mg.viz.show" in names
    done = subprocess.run([sys.executable, "-c", looks, *names], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.heavy
@pytest.mark.parametrize("page", sorted(ROOT.glob("docs/tour/[0-9]*.md")), ids=lambda page: page.stem)
def test_a_chapter_of_the_tour_runs_as_a_notebook(page, tmp_path, monkeypatch):
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    import notebooks

    made = nbformat.from_dict(notebooks.notebook(page))
    nbformat.validate(made)
    nbclient.NotebookClient(made, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()


MARKDOWN = [path for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")] if "generated" not in path.parts]


@pytest.mark.parametrize("page", MARKDOWN, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page):
    links = re.findall(r"\]\((?!https?:|#)([^)#\s]+)[^)]*\)|\{(?:figure|literalinclude)\} (\S+)", page.read_text())
    missing = [link for pair in links for link in pair if link and not (page.parent / link).exists()]
    assert not missing


@pytest.mark.parametrize("page", sorted(ROOT.glob("docs/tour/[0-9]*.md")), ids=lambda page: page.stem)
def test_a_chapter_of_the_tour_as_a_notebook_has_its_code_and_the_source_that_it_shows(page, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    import notebooks

    made = notebooks.notebook(page)
    programs = [cell["source"] for cell in made["cells"] if cell["cell_type"] == "code"]
    assert programs == [found[2].strip() for found in CELL.finditer(page.read_text())]
    prose = "\n".join(cell["source"] for cell in made["cells"] if cell["cell_type"] == "markdown")
    assert "```{" not in prose and ".md)" not in prose and prose.startswith("# ")
    assert prose.count("```python\n") == page.read_text().count("{literalinclude}")
    assert all(len(block.splitlines()) < 90 for block in re.findall(r"```python\n(.*?)```", prose, re.S))
