"""What editors and type checkers know of the package: mypy and pyright on a user's file, jedi's completions."""

import importlib
import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import stubs

import minigrad as mg
import minigrad.models
from minigrad import nn
from minigrad.ops import public

ROOT = Path(__file__).parents[1]
USER, MISTAKES = ROOT / "tests" / "typed_user.py", ROOT / "tests" / "typed_mistakes.py"


def test_the_stubs_know_every_op_and_method():
    functions, methods = [(stubs.HOME / name).read_text() for name in ("ops/__init__.pyi", "methods.pyi")]
    assert set(re.findall(r"^def (\w+)\(", functions, re.M)) == set(public)
    own = set(re.findall(r"^    def (\w+)\(", (stubs.HOME / "tensor.py").read_text(), re.M))
    missing = {n for n in vars(mg.Tensor) if not n.startswith("_")} - own
    assert missing == set(re.findall(r"^    def ([a-zA-Z]\w*)\(", methods, re.M))


PUBLIC = [
    mg, mg.nn, mg.nn.init, mg.optim, mg.random, mg.tree, mg.io, mg.ops, mg.testing, mg.training, mg.viz, mg.debug,
    minigrad.models,
    *map(importlib.import_module, ("minigrad.observe", "minigrad.profiling")),
]  # fmt: skip


@pytest.mark.parametrize("module", PUBLIC, ids=lambda module: module.__name__)
def test_a_public_module_lists_its_names(module):
    names = {}
    exec(f"from {module.__name__} import *", names)
    assert set(module.__all__) == set(names) - {"__builtins__"} and len(set(module.__all__)) == len(module.__all__)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A Python that has the package from its wheel, and the dependencies of this one."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    shutil.copytree(ROOT, source, symlinks=True, ignore=shutil.ignore_patterns(".*", "build", "*.egg-info", "docs"))
    subprocess.run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, source], check=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    (packages,) = (folder / "venv").glob("lib/python*/site-packages")
    (path,) = folder.glob("*.whl")
    with zipfile.ZipFile(path) as file:
        file.extractall(packages)
    (packages / "dependencies.pth").write_text(str(Path(np.__file__).parents[1]))
    return folder / "venv" / "bin" / "python"


@pytest.fixture(params=["editable", "wheel"])
def python(request):
    return Path(sys.executable) if request.param == "editable" else request.getfixturevalue("wheel")


def by_mypy(python: Path, folder: Path) -> list[tuple[str, int, str]]:
    command = [sys.executable, "-m", "mypy", "--strict", "--python-executable", python, USER.name, MISTAKES.name]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    found = re.findall(r"^(\w+\.py):(\d+): error: (.*)$", done.stdout, re.M)
    return [(file, int(line), text) for file, line, text in found]


def by_pyright(python: Path, folder: Path) -> list[tuple[str, int, str]]:
    command = [*pyright(), "--outputjson", "--pythonpath", python, USER.name, MISTAKES.name]
    told = json.loads(subprocess.run(command, cwd=folder, capture_output=True, text=True).stdout)
    found = [one for one in told["generalDiagnostics"] if one["severity"] == "error"]
    return [(Path(one["file"]).name, one["range"]["start"]["line"] + 1, one["message"]) for one in found]


def pyright() -> list[str]:
    """Its command; it fetches itself when it is first called, which may fail."""
    command = [sys.executable, "-m", "pyright"]
    if subprocess.run([*command, "--version"], capture_output=True).returncode:
        pytest.skip("no pyright")
    return command


@pytest.mark.heavy  # CI runs it where it has installed the two
@pytest.mark.parametrize("checker", [by_mypy, by_pyright])
def test_a_users_file_passes_and_mistakes_are_caught(checker, python, tmp_path):
    if checker is by_mypy:
        pytest.importorskip("mypy")
    for file in (USER, MISTAKES):
        shutil.copy(file, tmp_path)
    found = checker(python, tmp_path)
    assert [one for one in found if one[0] == USER.name] == []
    wrong = [k for k, line in enumerate(MISTAKES.read_text().splitlines(), 1) if "# wrong" in line]
    assert [line for _, line, _ in found] == wrong, found


COMPLETED = {
    "import minigrad as mg\nmg.": {"tanh", "tensor", "jit", "nn", "profile", "__version__"},
    "import minigrad as mg\nx = mg.tensor([1.0])\nx.": {"sum", "backward", "shape", "tanh", "T", "copy_"},
    "import minigrad as mg\nmg.tanh(mg.zeros(3)).": {"sum", "grad"},
    "from minigrad import models\nmodels.": {"LSTM", "GRUCell", "gradient_flow"},
}


@pytest.mark.parametrize("code", COMPLETED)
def test_an_editor_completes(code):
    jedi = pytest.importorskip("jedi")
    project = jedi.Project("/", environment_path=sys.executable, smart_sys_path=False)
    found = {one.name: one for one in jedi.Script(code, project=project).complete()}
    assert COMPLETED[code] <= set(found)
    if "backward" in found:
        (signature,) = found["sum"].get_signatures()
        assert signature.to_string() == "sum(axis: Axes | None=None, keepdims: bool=False) -> Tensor"


def test_a_jitted_layer_is_of_its_class():
    layer = nn.Linear(2, 3)
    assert isinstance(mg.jit(layer), nn.Linear) and isinstance(mg.checkpoint(layer), nn.Module)
