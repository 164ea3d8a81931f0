import base64
import hashlib
import os
import re
import sys
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from pages import cell_and_input, data_of, parents

import minigrad as mg
from minigrad import cli, nn
from minigrad.models import Recurrent
from minigrad.models.tasks.cells import CELLS
from minigrad.viz import Tape, show, trace
from minigrad.viz.declared import function_text
from minigrad.viz.tape import cut

SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("name", CELLS)
def test_the_page_of_every_cell(name):
    cell, x = cell_and_input(name)
    tape, page = trace(cell, x), show(cell, x)
    data = data_of(page)
    assert data["count"] == len(tape) and data["steps"] == 3
    assert [data["ops"][k]["name"] for k in data["op"]] == [n.op.name if n.op else "leaf" for n in tape.nodes]
    assert [parents(data, k) for k in range(len(tape))] == [tape.record.parents(k) for k in range(len(tape))]
    assert all(len(data[column]) == len(tape) for column in ("x", "y", "v_norm", "g_norm", "saturated", "key"))
    for k, node in enumerate(tape.nodes):
        if node.site is None:
            continue
        site = data["sites"][data["site"][k]]
        assert node.line.startswith(f"{site['file']}:{site['line']}")
        function = data["functions"][site["function"]]
        assert function["text"].splitlines()[site["line"] - function["first"]].strip() == site["text"]
        assert data["ops"][data["op"][k]]["vjp"]
    assert not np.isnan(data["v_norm"][data["size"] > 1]).all()
    maps = {m["name"]: m for m in data["maps"]}
    assert set(data["names"]) - set(dict(cell.named_parameters())) - {"x"} <= set(maps)
    for m in maps.values():
        assert len(base64.b64decode(m["data"])) == 3 * m["rows"]
    assert data["flow"] and all(len(line["norms"]) == 3 for line in data["flow"])
    if not data["why_not"]:  # of each step something has become a part of a kernel, forward and backward
        assert {loop["title"].split(",")[0] for loop in data["loops"]} == {"forward", "backward"}
        assert any(site["forward"] for site in data["sites"]) and any(site["backward"] for site in data["sites"])


def test_a_line_of_a_file_or_cell_is_shown_among_its_lines(tmp_path):
    file = tmp_path / "cell.py"
    file.write_text("import minigrad as mg\n\nx = mg.tensor([1.0], requires_grad=True)\ny = (x * x).sum()\n")
    names = {}
    exec(compile(file.read_text(), str(file), "exec"), names)
    assert function_text(names["y"]._node.site[0]) == (file.read_text(), 1)


def test_the_heat_maps_are_the_states_and_gates():
    cell, x = cell_and_input("lstm", steps=5)
    _, _, (steps,) = Recurrent(cell)(mg.tensor(x), return_states=True)
    maps = {m["name"]: m for m in data_of(show(cell, x))["maps"]}
    assert list(maps) == ["h", "c", *steps.gates]
    for name, m in maps.items():
        array = {"h": steps.state[0], "c": steps.state[1], **steps.gates}[name].numpy()[:, 0].T
        levels = np.frombuffer(base64.b64decode(m["data"]), np.uint8).reshape(array.shape)
        np.testing.assert_allclose(m["low"] + levels / 254 * (m["high"] - m["low"]), array, atol=m["high"] / 200)


def test_an_op_is_found_in_its_fused_kernel():
    data = data_of(show(*cell_and_input("lstm")))
    for name, inside in (("sigmoid", "sigmoid("), ("tanh", "tanh("), ("mul", " * ")):
        nodes = [k for k in range(data["count"]) if data["ops"][data["op"][k]]["name"] == name and data["step"][k] == 1]
        assert nodes
        for k in nodes:
            site = data["sites"][data["site"][k]]
            (forward,) = site["forward"]
            assert data["parts"][forward]["title"].startswith("fused over")
            assert inside in data["parts"][forward]["text"]
            assert site["backward"]
    products = [
        k for k in range(data["count"]) if data["ops"][data["op"][k]]["name"] == "matmul" and data["step"][k] == 1
    ]
    of_input, of_state = [data["sites"][data["site"][k]] for k in products]
    assert "forward, outside of the loop: matmul of [3, 2, 3], [3, 32] to float32[3, 2, 32]" in of_input["outside"]
    assert data["parts"][of_state["forward"][0]]["title"].startswith("product [2, 8] @ [8, 32]")
    for site in (of_input, of_state):  # sunk below the loop
        assert any(line.startswith("backward, outside of the loop: matmul of") for line in site["outside"])


def test_nothing_of_the_page_comes_from_elsewhere():
    page = show(*cell_and_input("rnn"))
    policy = re.search(r'Content-Security-Policy" content="(.*?)"', page)[1]
    for tag, rule in (("script", "script-src"), ("style", "style-src")):
        (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{rule} 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none';")
    assert not re.search(r'(src|href)="(?!data:|#)', page)


def test_text_that_looks_like_markup_stays_text():
    def f(x):
        return (x * 2).sum() if "</script><script>alert(1)</script>" else x

    page = show(f, np.ones(2))
    assert page.count("</script>") == 2
    assert "</script><script>alert(1)</script>" in data_of(page)["functions"][0]["text"]


def test_functions_modules_and_layers():
    w = mg.tensor(np.ones((2, 2)), requires_grad=True)

    def f(x, scale):
        return {"a": mg.tanh(x @ w) * scale, "b": x.sum()}

    data = data_of(show(f, np.ones((3, 2)), 2.0))
    assert (data["title"], data["steps"], data["maps"], data["flow"]) == ("f", 0, [], [])
    assert set(data["names"]) == {"x", "w"}
    assert "weight" in data_of(show(nn.Linear(2, 3), np.ones((4, 2), np.float32)))["names"]
    layer = Recurrent(CELLS["gru"], 3, 4, num_layers=2, bidirectional=True, batch_first=True)
    data = data_of(show(layer, np.ones((2, 5, 3), np.float32)))
    assert data["title"] == "GRUCell" and data["steps"] == 5 and data["reverse"] == [False, True, False, True]
    assert [m["name"] for m in data["maps"]][::4] == [f"h, cell {k}" for k in range(4)]
    one = data_of(show(CELLS["gru"](3, 4), np.ones((5, 3), np.float32)))  # unbatched
    assert {len(base64.b64decode(m["data"])) for m in one["maps"]} == {20}


def test_what_cannot_be_jitted_is_shown_without_kernels():
    data = data_of(show(lambda x: x.sum() if x.sum() > 0 else -x.sum(), np.ones(3)))
    assert data["why_not"].startswith("TypeError: jit: Python asked") and not data["loops"]
    with pytest.raises(ValueError, match="returns no float tensor"):
        show(lambda x: 3, np.ones(2))


def test_a_value_that_is_not_finite_is_counted():
    data = data_of(show(lambda x: mg.log(x).sum(), np.array([0.0, 1.0, -1.0, 2.0])))
    (log,) = [k for k in range(data["count"]) if data["ops"][data["op"][k]]["name"] == "log"]
    assert data["v_finite"][log] == 0.5 and data["v_max"][log] == pytest.approx(np.log(2))


@pytest.mark.parametrize("name", CELLS)
def test_the_svg_has_every_node_and_edge(name):
    cell, x = cell_and_input(name)
    tape = trace(cell, x)
    root = ET.fromstring(tape.svg())
    width, height = float(root.get("width")), float(root.get("height"))
    boxes = [r for r in root.iter(f"{SVG}rect") if r.get("class") != "paper"]
    assert len(boxes) == len(tape)
    assert len(list(root.iter(f"{SVG}path"))) == sum(len(tape.record.parents(k)) for k in range(len(tape)))
    for box in boxes:
        assert 0 <= float(box.get("x")) <= width - 96 and 0 <= float(box.get("y")) <= height - 32
    carried = [p for p in root.iter(f"{SVG}path") if p.get("class") == "carry"]
    names = {cut(node.op.name, 15) for node in tape.nodes if node.op}
    assert carried and {t.text for t in root.iter(f"{SVG}text")} >= names


def test_a_tape_of_a_tensor():
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    tape = Tape((x * x).sum())
    assert repr(tape) == "Tape of 3 nodes: 1 leaf, 1 mul, 1 sum" and len(tape) == 3
    assert "<svg" in tape._repr_html_()
    y = x
    for _ in range(500):
        y = y * x
    assert "<svg" not in Tape(y)._repr_html_() and len(ET.fromstring(Tape(y).svg())) > 1000
    with pytest.raises(ValueError, match="wanted a tensor on the tape"):
        Tape(mg.tensor(1.0))


@pytest.mark.parametrize(
    "x, shown",
    [
        (mg.tensor([1.0, 2.5]), "2.5"), (mg.tensor(3), "3"), (mg.tensor(np.zeros((0, 3))), "float64[0, 3]"),
        (mg.tensor(np.full((5, 5), np.nan)), "not finite 100.0%"), (mg.tensor(np.eye(4) > 0), "bool[4, 4]"),
        (mg.tensor(np.arange(300).reshape(3, 100)), "int64[3, 100]"), (nn.Parameter(np.ones((3, 4, 5))), "Parameter"),
        (mg.exp(nn.Parameter(np.ones((4, 4)))), "made by exp"),
    ],
)  # fmt: skip
def test_tensors_in_notebooks(x, shown):
    html = x._repr_html_()
    assert shown in html and ET.fromstring(html) is not None


def test_a_traced_tensor_in_a_notebook_and_modules():
    seen = []

    @mg.jit
    def f(x):
        seen.append(x._repr_html_())
        return x * 2

    f(mg.tensor([1.0]))
    assert seen == ["<code>tensor(float32[1], traced)</code>"]
    html = CELLS["lstm"](3, 4)._repr_html_()
    rows = ["".join(row.itertext()) for row in ET.fromstring(html).iter("tr")]
    assert len(rows) == 5 and rows[1].startswith("weight_ihfloat32[16, 3]48")


@pytest.fixture
def minigrad(monkeypatch, capsys):
    """Calls the command; returns (exit code, stdout, stderr)."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["minigrad", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        return (stop.value.code or 0, *capsys.readouterr())

    return call


SMALL = ("--input", 2, "--hidden", 4, "--steps", 3, "--batch", 2)


def test_the_command(minigrad, tmp_path):
    code, out, err = minigrad("show", "gru", "-o", tmp_path / "a.html", *SMALL)
    assert (code, err) == (0, "") and out.startswith(str(tmp_path / "a.html"))
    assert data_of((tmp_path / "a.html").read_text("utf-8"))["steps"] == 3
    minigrad("show", "gru", "-o", tmp_path / "b.html", *SMALL)
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    assert minigrad("show", "gru", "-o", tmp_path / "c.svg", *SMALL)[0] == 0
    assert ET.parse(tmp_path / "c.svg").getroot().tag == f"{SVG}svg"
    mine = tmp_path / "mine.py"
    mine.write_text(
        "import minigrad as mg\nclass Cell(mg.nn.Module):\n"
        "    def __init__(self, I, H): self.hidden_size, self.l = H, mg.nn.Linear(I + H, H)\n"
        "    def forward(self, x, h): return mg.tanh(self.l(mg.concatenate([x, h], axis=-1)))\n"
    )
    assert minigrad("show", f"{mine}:Cell", "-o", tmp_path / "d.html", *SMALL)[0] == 0
    assert "mg.tanh(self.l(" in (tmp_path / "d.html").read_text("utf-8")


BROKEN = {
    "nosuch": "nosuch: wanted one of rnn, ",
    "nowhere.py:Cell": "there is no file nowhere.py",
    "{}/raises.py:Cell": r"raised ZeroDivisionError: division by zero \(raises.py, line 1\)",
    "{}/mine.py:Thing": "Thing is not a cell",
    "{}/mine.py:Wide": "Wide is not a cell.* makes float32",
    "{}/mine.py:Tired": r"RuntimeError: tired \(mine.py, line 10\)",
}


@pytest.mark.parametrize("cell", BROKEN)
def test_broken_input_is_one_line_and_exit_code_2(cell, minigrad, tmp_path):
    (tmp_path / "raises.py").write_text("1 / 0")
    (tmp_path / "mine.py").write_text(
        "import minigrad as mg\nclass Wide(mg.nn.Module):\n"
        "    def __init__(self, I, H): self.hidden_size = H\n"
        "    def forward(self, x, h): return mg.concatenate([h, h], axis=-1)\n"
        "class Thing:\n    def __init__(self, I, H): pass\n"
        "class Tired(mg.nn.Module):\n"
        "    def __init__(self, I, H): self.hidden_size, self.l = H, mg.nn.Linear(I, H)\n"
        "    def forward(self, x, h):\n"
        "        if len(x) == 2: raise RuntimeError('tired')\n"
        "        return mg.tanh(self.l(x)) + h\n"
    )
    code, out, err = minigrad("show", cell.format(tmp_path), "-o", tmp_path / "x.html", *SMALL)
    assert (code, out, err.count("\n")) == (2, "", 1) and re.search(BROKEN[cell], err), err
    assert not (tmp_path / "x.html").exists()


def test_what_is_neither_a_page_nor_a_figure(minigrad, tmp_path):
    code, printed, err = minigrad("show", "rnn", "-o", tmp_path / "x.pdf", *SMALL)
    assert (code, printed, err.count("\n")) == (2, "", 1) and "ends in .html, or .svg" in err
    assert not list(tmp_path.iterdir())


def test_a_page_that_cannot_be_written(minigrad, tmp_path):
    folders = [tmp_path / "none", tmp_path] if os.geteuid() == 0 else [tmp_path / "none"]
    for folder in folders:
        out = folder / "x.html" if folder != tmp_path else folder
        code, printed, err = minigrad("show", "rnn", "-o", out, *SMALL)
        assert (code, printed, err.count("\n")) == (2, "", 1) and str(out) in err
