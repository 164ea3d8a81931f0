"""What a notebook shows, in a notebook that runs: each output is looked at, in a browser where there is one."""

import re
import struct
import xml.etree.ElementTree as ET
import zlib
from base64 import b64decode
from html import unescape

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.compile.beside import side_by_side
from minigrad.html import MOST
from minigrad.models import LSTM, LSTMCell
from minigrad.profiling.picture import draw
from minigrad.viz import Page, show

CELLS = [
    "import numpy as np, minigrad as mg\nfrom minigrad.models import LSTM, LSTMCell",
    "mg.viz.show(LSTMCell(3, 4), np.ones((5, 2, 3), 'float32'))",
    "mg.random.normal((300, 300))",
    "layer, x = mg.jit(LSTM(3, 4)), mg.ones((5, 2, 3))\nlayer",
    "with mg.profile() as p:\n    layer(x)[0].sum().backward()\np",
    "layer.explain(x)",
    "from minigrad.training import Progress\nimport tqdm.auto\nfor _ in tqdm.auto.tqdm(range(3)): pass",
    "mg.viz.show(mg.tanh, np.ones(3)).beside(mg.viz.show(mg.exp, np.ones(3)))",
]


@pytest.fixture(scope="module")
def outputs():
    """The HTML that each cell of a notebook shows."""
    nbformat = pytest.importorskip("nbformat")
    client = pytest.importorskip("nbclient").NotebookClient
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in CELLS])
    client(notebook, timeout=120, kernel_name="python3").execute()
    return [[o.data["text/html"] for o in c.outputs if "text/html" in o.get("data", {})] for c in notebook.cells]


def test_a_notebook_shows_what_its_cells_return(outputs):
    counts = [len(found) for found in outputs]
    assert counts[:6] == [0, 1, 1, 1, 1, 1] and counts[7] == 1
    page, tensor, module, profile, explained, both = [outputs[k][0] for k in (1, 2, 3, 4, 5, 7)]
    assert page.startswith("<iframe srcdoc=") and 'sandbox="allow-scripts"' in page and "<!doctype" not in page
    assert "LSTMCell · minigrad" in unescape(page)
    assert "float32[300, 300]" in tensor and "weight_ih_l0" in module
    assert "by fused task" in profile and "matmul" in profile and "as it was traced" in explained
    assert both.count("<iframe") == 1 and unescape(both).count("<iframe") == 3


def test_a_notebooks_page_in_a_browser(outputs, browser, tmp_path):
    """Neither page's style reaches the other, and nothing is refused."""
    styled = "<style>h1 { color: rgb(1, 2, 3) } table { border: 7px solid }</style><h1 id='mine'>mine</h1>"
    (tmp_path / "notebook.html").write_text(styled + "".join(html for found in outputs for html in found), "utf-8")
    browser.get((tmp_path / "notebook.html").as_uri())
    colour = "return getComputedStyle(document.querySelector('h1')).color"
    assert browser.execute_script(colour) == "rgb(1, 2, 3)"
    assert browser.execute_script("return getComputedStyle(document.body).maxWidth") == "none"
    frame, *_ = browser.find_elements("tag name", "iframe")
    assert frame.size["width"] > 800 and frame.size["height"] > 700
    browser.switch_to.frame(frame)
    browser.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")
    assert browser.execute_script(colour) != "rgb(1, 2, 3)"
    graph = browser.find_element("id", "graph")
    assert int(graph.get_attribute("data-drawn")) > 20 and graph.get_attribute("data-folded") == "true"
    browser.switch_to.default_content()
    assert all(image.size["width"] > 50 for image in browser.find_elements("tag name", "img"))
    for details in browser.find_elements("tag name", "details"):
        browser.execute_script("arguments[0].open = true", details)
    assert browser.get_log("browser") == []


def test_a_page_saves_itself(tmp_path):
    page = show(LSTMCell(3, 4), np.ones((5, 2, 3), np.float32))
    assert isinstance(page, Page) and re.fullmatch(r"Page of LSTMCell, 0\.\d MB", repr(page))
    assert page.save(tmp_path / "page.html").read_text("utf-8") == page
    srcdoc = re.search('srcdoc="([^"]*)"', page._repr_html_())
    assert unescape(srcdoc[1]) == page
    with pytest.raises(TypeError, match=r"Page.beside: got other=3"):
        page.beside(3)
    with pytest.raises(OSError):
        page.save(tmp_path / "none" / "page.html")


@given(st.sampled_from(["float32", "float64", "int64", "bool"]), st.lists(st.integers(0, 400), min_size=1, max_size=3))
def test_what_a_notebook_shows_of_a_tensor_is_small(dtype, shape):
    shape = [min(n, 20) for n in shape[:-2]] + shape[-2:]
    x = np.random.default_rng(0).normal(size=shape) * 1e9
    html = mg.tensor((x > 0) if dtype == "bool" else x.astype(dtype))._repr_html_()
    assert len(html) < 20_000 and ET.fromstring(html) is not None


def pixels(html):
    """The first image in it, (rows, columns, 3)."""
    png = b64decode(re.search('base64,([^"]*)', html)[1])
    chunks, at = {}, 8
    while at < len(png):
        length, kind = struct.unpack(">I4s", png[at : at + 8])
        data = png[at + 8 : at + 8 + length]
        assert struct.unpack(">I", png[at + 8 + length : at + 12 + length])[0] == zlib.crc32(kind + data)
        chunks[kind], at = data, at + 12 + length
    width, height = struct.unpack(">II", chunks[b"IHDR"][:8])
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, width + 1)
    assert not rows[:, 0].any()
    return np.frombuffer(chunks[b"PLTE"], np.uint8).reshape(-1, 3)[rows[:, 1:]].astype(int)


def test_a_heat_map_is_the_matrix():
    x = np.array([[-2.0, -1.0, 0.0, 1.0, 2.0], [np.nan, np.inf, 0.5, 0.0, 0.0], [0.0] * 5])
    red, green, blue = np.moveaxis(pixels(mg.tensor(x)._repr_html_()), -1, 0)
    assert (red[0, 2], green[0, 2], blue[0, 2]) == (255, 255, 255)
    assert blue[0, 0] > red[0, 0] and red[0, 4] > blue[0, 4] and green[0, 0] < green[0, 1] < 255
    assert (red[1, :2] == 0x88).all() and (blue[1, :2] == 0x88).all()
    assert pixels(mg.tensor(np.ones((300, 1000)))._repr_html_()).shape[:2] == (60, 63)
    assert max(pixels(mg.tensor(np.ones((65, 64)))._repr_html_()).shape) == MOST


programs = st.lists(st.sampled_from(["a = x", "b = exp(a)", "c < d", "", "return"]), max_size=30)


@example(["a = x", "c < d"], ["b = exp(a)", "c < d"])
@given(programs, programs)
def test_programs_side_by_side_stand_on_the_same_lines(before, after):
    root = ET.fromstring(side_by_side("\n".join(before), "\n".join(after)))
    left, right = ["".join(pre.itertext()).split("\n") for pre in root.iter("pre")]
    assert len(left) == len(right)
    marked = [["".join(span.itertext()) for span in pre.iter("span")] for pre in root.iter("pre")]
    if before == after:
        assert marked == [[], []]
    for shown, whole in ((left, before), (right, after)):
        assert {line for line in shown if line.strip()} <= {*whole, "⋮"}
    for one, other in zip(left, right):  # what is not marked is the same on both sides
        if one.strip() and other.strip() and one != other:
            assert one in marked[0] and other in marked[1]


def test_the_profiles_picture_says_why_a_point_is_above_the_roof(monkeypatch):
    from minigrad.kernels import peaks

    with mg.profile() as p:
        mg.jit(LSTM(3, 4))(mg.ones((5, 2, 3)))[0].sum().backward()
        mg.matmul(mg.ones((64, 64)), mg.ones((64, 64)))
    for flops, bandwidth, said in ((1e30, 1e30, []), (1e30, 1.0, ["above the slope"]), (1.0, 1.0, ["above the peak"])):
        monkeypatch.setattr(peaks, "flops", lambda flops=flops: flops)
        monkeypatch.setattr(peaks, "bandwidth", lambda bandwidth=bandwidth: bandwidth)
        figure = draw(p)
        figure.canvas.draw()
        (text,) = figure.subfigs[1].texts
        assert [why for why in ("above the slope", "above the peak") if why in text.get_text()] == said
        assert ("above the peak" in str(p)) is ("above the peak" in said)
        whole = figure.bbox
        for axes in figure.axes:  # titles and names are within the picture
            for words in (axes.title, text, *(axes.get_yticklabels() if axes.get_yscale() == "linear" else [])):
                box = words.get_window_extent()
                assert whole.x0 <= box.x0 and box.x1 <= whole.x1 and whole.y0 <= box.y0 and box.y1 <= whole.y1
