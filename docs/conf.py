"""The site: `pip install -e '.[docs]' && sphinx-build -W docs build/site`. Its code cells run while it is built."""

import importlib.metadata
import inspect
import re
import sys
from pathlib import Path

import minigrad as mg
import minigrad.models as models
from minigrad.ops.pointwise import Elementwise
from minigrad.ops.table import composites, table

project = "minigrad"
html_title = "minigrad"
html_theme = "furo"
# MathJax, of the package that carries it: formulas need no network.
MATHJAX = next(f for f in importlib.metadata.files("sphinx-mathjax-offline") or [] if f.name == "tex-svg.js").locate()
mathjax_path = "tex-svg.js"
html_static_path, html_css_files = ["static", str(MATHJAX)], ["site.css"]
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence"]
myst_heading_anchors = 3
nb_execution_mode = "auto"
nb_merge_streams = True
smartquotes = False  # options begin with two dashes
nb_execution_in_temp = True  # what a page writes
nb_execution_timeout = 120
nb_execution_raise_on_error = True
autodoc_mock_imports = ["jax", "torch"]
autodoc_member_order = "bysource"
exclude_patterns = ["generated", "exercises"]
suppress_warnings = ["docutils", "ref.python"]  # docstrings here are plain text, not reStructuredText

GENERATED = Path(__file__).parent / "generated"


def cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def code(text: str) -> str:
    return f"`{cell(text)}`" if text else ""


def op_table() -> str:
    """Every op, as it is declared: what a page of the site shows."""
    lines = ["| op | value | derivatives (as the vjp, with cotangent g) |", "|---|---|---|"]
    for name, op in sorted(table.items()):
        if not getattr(op, "public", True):
            continue
        call = f"{name}({', '.join(op.inputs)})"
        if isinstance(op, Elementwise):
            vjps = "; ".join(f"{x}: {code(d)}" for x, d in op.derivatives.items())
            lines.append(f"| {code(call)} | {code(op.expression)} {cell(op.doc.strip().splitlines()[0])} | {vjps} |")
        else:
            doc = (op.doc or "").strip().split("\n\n")[0]
            lines.append(f"| {code(call)} | {cell(doc)} | {', '.join(op.vjps) or 'none'} |")
    lines += ["", "Built of these, with all derivatives that follow:", "", "| function | |", "|---|---|"]
    lines += [f"| {code(name)} | {cell((f.__doc__ or '').strip().splitlines()[0])} |" for name, f in composites.items()]
    return "\n".join(lines) + "\n"


def interface() -> str:
    """The public names, a section a module."""
    lines = []
    for module in (mg.nn, mg.optim, mg.training, mg.distributed, mg.testing, mg.tree, mg.io, models):
        lines += [f"## {module.__name__}", "", cell((module.__doc__ or "").strip().splitlines()[0]), ""]
        for name in getattr(module, "__all__", None) or [n for n in vars(module) if not n.startswith("_")]:
            value = getattr(module, name)
            own = getattr(value, "__module__", "").startswith(module.__name__)  # or it is told of where it is from
            if own and (inspect.isclass(value) or inspect.isfunction(value)):
                kind = "autoclass" if inspect.isclass(value) else "autofunction"
                lines += ["```{eval-rst}", f".. {kind}:: {module.__name__}.{name}", "```", ""]
    return "\n".join(lines)


def escape(app, what, name, obj, options, lines: list[str]) -> None:
    """Docstrings are plain text: an asterisk before a name is no emphasis, nor a bar a link."""
    lines[:] = [
        line if line.lstrip().startswith((">>>", "...")) else re.sub(r"(?<![\\\w`])([*|])(?=\*?\w)", r"\\\1", line)
        for line in lines
    ]


def shorten(app, what, name, obj, options, signature, returns):
    """Of an annotation that has a range, the type."""
    return re.sub(r"Annotated\[(\w+), Range\([^)]*\)\]", r"\1", signature or "") or None, returns


def setup(app) -> None:
    app.connect("autodoc-process-signature", shorten)
    app.connect("autodoc-process-docstring", escape, priority=900)  # after napoleon


if "sphinx" in sys.modules:
    sys.path.append(str(Path(__file__).parent))
    import notebooks

    GENERATED.mkdir(exist_ok=True)
    notebooks.write(Path(__file__).parent / "tour", GENERATED / "tour")
    (GENERATED / "ops.txt").write_text(op_table())
    (GENERATED / "interface.txt").write_text(interface())
