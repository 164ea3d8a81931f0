"""The order of the library's files: each imports from its own floor and those below, and none in a circle."""

import ast
import re
import tomllib
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import stubs

import minigrad
import minigrad.models

# From the ground up: files, and folders, of minigrad/; `minigrad` is its __init__.py, the public names.
FLOORS = [
    "badinput disk sharing sites symbolic tree",
    "arguments kernels",
    "deferred modes mutations tape",
    "dtypes exchange html tensor views",
    "ops",
    "ir",
    "control creation custom jacobians random scan transforms vmap",
    "io nn optim",
    "compile",
    "observe",
    "debug distributed interop onnx profiling sweeps testing training viz",
    "minigrad",
    "models",
    "__main__ cli",
]
FLOOR_OF = {name: k for k, names in enumerate(FLOORS) for name in names.split()}
LINES, OF_A_FUNCTION = 400, 60

HOME = Path(minigrad.__file__).parent
FILES = {}
for folder, package in ((HOME, "minigrad"), (Path(minigrad.models.__file__).parent, "minigrad.models")):
    for path in sorted(folder.rglob("*.py")):
        parts = [part for part in path.relative_to(folder).with_suffix("").parts if part != "__init__"]
        FILES[".".join([package, *parts])] = path
TREES = {name: ast.parse(path.read_text()) for name, path in FILES.items()}


def imports(name: str) -> Iterator[str]:
    """The files of ours that a file imports, in functions and for type checkers too."""
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in FILES)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}, line {node.lineno}: a relative import"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield from (found for found in (inner if inner in FILES else node.module,) if found in FILES)


def floor(name: str) -> int:
    return FLOOR_OF[name.split(".")[1] if "." in name else name]


def test_every_file_has_a_floor_and_imports_from_none_above():
    assert not {name for name in FILES if "." in name and name.split(".")[1] not in FLOOR_OF}, "name its floor above"
    upward = [f"{name} imports {other}" for name in FILES for other in imports(name) if floor(other) > floor(name)]
    assert not upward


def test_no_import_is_part_of_a_circle():
    TopologicalSorter({name: set(imports(name)) - {name} for name in FILES}).prepare()


def test_files_have_at_most_400_lines_and_functions_60():
    longer = {}
    for name, path in FILES.items():
        of_functions = [
            node.end_lineno - node.lineno + 1
            for node in ast.walk(TREES[name])
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.end_lineno
        ]
        lines = len(path.read_text().splitlines())
        if not name.startswith("minigrad.models") and (lines > LINES or max(of_functions, default=0) > OF_A_FUNCTION):
            longer[name] = (lines, max(of_functions, default=0))
    assert not longer


def test_the_distribution_has_every_package():
    listed = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    folders = {"minigrad.models": Path(minigrad.models.__file__).parent, "minigrad": HOME}
    found = {
        ".".join([package, *path.parent.relative_to(home).parts])
        for package, home in folders.items()
        for path in home.rglob("*.py")
    }
    assert set(listed) == found


def test_the_stubs_are_what_the_package_says():
    """Of ops, methods and public names: what type checkers and editors read."""
    stale = [str(path) for path, text in stubs.stubs().items() if not path.exists() or path.read_text() != text]
    assert not stale, f"out of date: run `{stubs.COMMAND}`"


def test_what_errors_advise_to_install_is_this_distribution():
    """`minigrad` is another project on the index."""
    text = (HOME.parent / "pyproject.toml").read_text()
    name = tomllib.loads(text)["project"]["name"]
    found = {one for path in FILES.values() for one in re.findall(r"pip install '?([\w-]+)\[", path.read_text())}
    assert found == {name} == set(re.findall(r'"([\w-]+)\[', text))


def test_the_changelog_begins_with_this_version():
    text = (HOME.parent / "CHANGELOG.md").read_text()
    versions = re.findall(r"^## (\d+\.\d+\.\d+) \((?:unreleased|\d{4}-\d\d-\d\d)\)$", text, re.M)
    assert versions and versions[0] == minigrad.__version__ and len(versions) == text.count("\n## ")


def test_what_needs_pytorch_is_marked_as_parity():
    """Or the plain suite skips it and the parity suite does not choose it."""
    tests = (HOME.parent / "tests").rglob("test_*.py")
    texts = {path.name: path.read_text() for path in tests if path != Path(__file__)}
    unmarked = [name for name, text in texts.items() if 'importorskip("torch")' in text and ".mark.parity" not in text]
    assert not unmarked, "take the fixture `torch`, or say pytestmark = pytest.mark.parity"


def test_no_two_files_of_tests_have_one_name():
    """pytest would not collect the second."""
    names = [path.name for path in (HOME.parent / "tests").rglob("test_*.py")]
    assert len(names) == len(set(names)), sorted(name for name in set(names) if names.count(name) > 1)
