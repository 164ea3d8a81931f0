"""The pages of the tour as notebooks for Jupyter: their code as cells, the source that they show as text."""

import ast
import json
import re
from pathlib import Path

FENCE = re.compile(
    r"^```\{(?P<kind>[\w-]+)\}(?P<argument>[^\n]*)\n(?P<options>(?::[^\n]*\n)*)(?P<body>.*?)^```$", re.M | re.S
)
LINK = re.compile(r"\]\((?!https?:|#)([\w./-]+)\.md(#[\w-]+)?\)")


def notebook(page: Path) -> dict:
    """The notebook of a page in MyST."""
    text = re.sub(r"\A---\n.*?\n---\n", "", page.read_text(), flags=re.S)
    cells: list[dict] = []
    prose, end = "", 0
    for found in FENCE.finditer(text):
        prose += text[end : found.start()]
        end = found.end()
        if found["kind"] == "literalinclude":
            prose += f"```python\n{included(page.parent / found['argument'].strip(), found['options'])}\n```"
        elif found["kind"] == "code-cell":
            cells += [markdown(prose), code(found["body"], "raises-exception" in found["options"])]
            prose = ""
        else:
            raise ValueError(f"{page}: a notebook has nothing for {found['kind']}")
    cells = [cell for cell in [*cells, markdown(prose + text[end:])] if cell["source"]]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    for k, cell in enumerate(cells):
        cell["id"] = str(k)
    return {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}


def markdown(text: str) -> dict:
    text = LINK.sub(r"](\1.ipynb\2)", text).strip()
    return {"cell_type": "markdown", "metadata": {}, "source": text}


def code(text: str, raises: bool) -> dict:
    metadata = {"tags": ["raises-exception"]} if raises else {}
    return {
        "cell_type": "code", "metadata": metadata, "source": text.strip(), "execution_count": None, "outputs": [],
    }  # fmt: skip


def included(path: Path, options: str) -> str:
    """What a literalinclude with these options shows."""
    given = dict(re.findall(r"^:([\w-]+): *(.*)$", options, re.M))
    lines = path.read_text().splitlines()
    if name := given.pop("pyobject", None):
        nodes = [n for n in ast.walk(ast.parse(path.read_text())) if getattr(n, "name", None) == name]
        first = min([nodes[0].lineno, *[d.lineno for d in nodes[0].decorator_list]])
        lines = lines[first - 1 : nodes[0].end_lineno]
    if start := given.pop("start-at", "").strip("'\""):
        lines = lines[next(k for k, line in enumerate(lines) if start in line) :]
    if stop := given.pop("end-before", "").strip("'\""):
        lines = lines[: next(k for k, line in enumerate(lines) if k and stop in line)]
    if numbers := given.pop("lines", ""):
        first, _, last = numbers.partition("-")
        lines = lines[int(first) - 1 : int(last or first)]
    if unknown := given.keys() - {"language"}:
        raise ValueError(f"{path}: a notebook has nothing for {', '.join(unknown)}")
    return "\n".join(lines).rstrip()


def write(pages: Path, folder: Path) -> None:
    """The notebooks of all pages that are numbered."""
    folder.mkdir(parents=True, exist_ok=True)
    for page in sorted(pages.glob("[0-9]*.md")):
        (folder / f"{page.stem}.ipynb").write_text(json.dumps(notebook(page), indent=1, ensure_ascii=False))
