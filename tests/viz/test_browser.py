"""The page in a real browser (conftest.py)."""

import io
import json

import numpy as np
import pytest
from matplotlib.image import imread
from pages import cell_and_input, data_of, parents
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

import minigrad as mg
from minigrad.models import Recurrent
from minigrad.models.tasks.cells import CELLS
from minigrad.viz import Tape, show
from minigrad.viz.kernels import Kernels
from minigrad.viz.page import page as page_of
from minigrad.viz.record import leaves_of, record


class Opened:
    """A page in the browser, and what the reader does with it."""

    def __init__(self, browser, path, page):
        path.write_text(page, encoding="utf-8")
        browser.get_log("performance")
        browser.get(path.as_uri())
        self.browser, self.path, self.data = browser, path, data_of(page)
        self.graph = browser.find_element("id", "graph")

    def state(self, name):
        """Of the graph as it was painted last."""
        self.browser.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")
        return self.graph.get_attribute(f"data-{name}")

    def key(self, *keys):
        self.graph.send_keys(*keys)

    def text(self, name):
        return self.browser.find_element("id", name).get_attribute("textContent")

    def slide(self, name, value):
        self.browser.execute_script(
            "const s = document.getElementById(arguments[0]);"
            "s.value = arguments[1]; s.dispatchEvent(new Event('input'))",
            name, value,
        )  # fmt: skip

    def click(self, x, y):
        box = self.graph.rect
        offset = int(x - box["width"] / 2), int(y - box["height"] / 2)
        ActionChains(self.browser).move_to_element_with_offset(self.graph, *offset).click().perform()

    def node(self, op, step=1):
        """The first node of an op in a step."""
        d = self.data
        return next(k for k in range(d["count"]) if d["ops"][d["op"][k]]["name"] == op and d["step"][k] == step)

    def choose(self, n):
        self.key(Keys.HOME)
        self.key(*[Keys.ARROW_RIGHT] * n)
        assert self.state("selected") == str(n)


@pytest.fixture(scope="module")
def text():
    return show(*cell_and_input("lstm", steps=6, hidden=8))


@pytest.fixture
def opened(browser, tmp_path, text):
    opened = Opened(browser, tmp_path / "page.html", text)
    yield opened
    assert browser.get_log("browser") == []  # neither errors nor what the policy refused


@pytest.fixture
def page(opened):
    """The page with the loop unrolled."""
    opened.browser.find_element("id", "unrolled").click()
    return opened


def test_it_opens_from_a_file_and_asks_for_nothing_else(opened):
    page = opened
    assert page.state("selected") == str(page.data["count"] - 1) and page.state("folded") == "true"
    assert page.browser.find_element("css selector", "#details h2").text == "sum"  # what it went back from
    assert page.state("lit") == str(len(page.data["order"]))
    assert page.browser.title == "LSTMCell · minigrad"
    messages = [json.loads(entry["message"])["message"] for entry in page.browser.get_log("performance")]
    sent = [m["params"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    here = page.path.as_uri()  # a browser that has just begun loads a page of its own, too
    assert [one["request"]["url"] for one in sent if one["documentURL"] == here] == [here]
    assert page.browser.execute_script("return performance.getEntriesByType('resource').length") == 0


def test_the_policy_lets_nothing_out(page):
    refused = page.browser.execute_async_script(
        "fetch('https://example.org').then(() => arguments[0]('went'), () => arguments[0]('refused'))"
    )
    assert refused == "refused"
    assert "Content Security Policy" in page.browser.get_log("browser")[0]["message"]


@pytest.mark.parametrize("back", [False, True])
def test_a_click_shows_line_vjp_kernel_and_statistics(page, back):
    n = page.node("tanh")
    page.choose(n)
    if back:
        page.key("b")
    page.key("0")
    x, y = map(int, page.state("at").split(","))
    page.key(Keys.ARROW_RIGHT)
    assert page.state("selected") == str(n + 1)
    page.click(x, y)
    d = page.data
    assert (page.state("selected"), page.state("side")) == (str(n), "backward" if back else "forward")
    site = d["sites"][d["site"][n]]
    details = page.text("details")
    assert page.text("source-line") == f"{site['file']}:{site['line']}"
    assert page.browser.find_element("css selector", "#details pre .here").text.endswith(site["text"])
    assert page.text("vjp") == "∂ xg * (1 - y * y)"
    assert d["parts"][site["forward"][0]]["text"].splitlines()[1] in details
    assert f"{d['v_max'][n]:.4g}" in details and "saturated" in details


def test_everything_works_from_the_keyboard(opened):
    page = opened
    page.browser.execute_script("document.body.focus()")
    body = page.browser.find_element("css selector", "body")
    reached = []
    for _ in range(12):
        body.send_keys(Keys.TAB)
        body = page.browser.switch_to.active_element
        reached.append(body.get_attribute("id"))
        outline = page.browser.execute_script("return getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid", reached  # the focus can be seen
        if reached[-1] == "graph":
            break
    assert reached[-1] == "graph" and {"unrolled", "folded", "step", "find"} <= set(reached)
    page.key("f", Keys.HOME)
    assert page.state("selected") == "0" and page.state("folded") == "false"
    n = page.node("tanh", step=2)
    page.choose(n)
    page.key(Keys.ARROW_UP)
    assert page.state("selected") == str(parents(page.data, n)[0])
    page.key(Keys.ARROW_DOWN)
    assert parents(page.data, n)[0] in parents(page.data, int(page.state("selected")))
    page.choose(n)
    page.key(Keys.SHIFT, Keys.ARROW_RIGHT, Keys.NULL)
    twin = int(page.state("selected"))
    assert page.data["key"][twin] == page.data["key"][n] and page.data["step"][twin] == 3
    assert "tanh, step 3, forward" in page.text("live")
    page.key("b")
    assert page.state("side") == "backward" and "backward" in page.text("live")
    page.key(Keys.END)
    assert page.state("selected") == str(page.data["count"] - 1)
    page.key(Keys.ENTER)
    assert page.browser.switch_to.active_element.get_attribute("id") == "details"
    page.browser.switch_to.active_element.send_keys(Keys.ESCAPE)
    assert page.browser.switch_to.active_element.get_attribute("id") == "graph"


def test_the_slider_plays_backward_in_the_order_of_pull_back(page):
    order = page.data["order"].tolist()
    for k in (1, 2, len(order) // 2, len(order)):
        page.slide("slider", k)
        assert (page.state("lit"), page.state("selected")) == (str(k), str(order[k - 1]))
        assert page.state("side") == "backward"
        assert f"{k} of {len(order)}" in page.text("now")
    n = page.node("tanh")
    page.slide("slider", order.index(n))  # all before it
    page.choose(n)
    assert f"Not visited yet: it is number {order.index(n) + 1}" in page.text("details")
    row = "tr:nth-child(4) td:last-child"  # the norm of the cotangent
    assert page.browser.find_element("css selector", f"#details table {row}").text == "–"
    page.browser.find_element("id", "forth").click()
    assert float(page.browser.find_element("css selector", f"#details table {row}").text) == pytest.approx(
        page.data["g_norm"][n], rel=1e-3
    )


def pixels(page):
    """The canvas as an array (rows, columns, 3), from 0 to 255."""
    return 255 * imread(io.BytesIO(page.graph.screenshot_as_png))[..., :3]


def test_nodes_light_up_as_backward_comes_to_them(page):
    def orange():  # the hue of cotangents; that of carries is purple
        red, green, blue = np.moveaxis(pixels(page), -1, 0)
        return int(((red > green + 12) & (green > blue + 8)).sum())

    counts = []
    for k in (0, len(page.data["order"]) // 3, len(page.data["order"])):
        page.slide("slider", k)
        page.state("lit")
        counts.append(orange())
    assert 10 * counts[0] < counts[1] < 0.8 * counts[2]


def test_play_goes_on_by_itself_and_stops_at_the_end(page):
    last = len(page.data["order"])
    page.slide("slider", last - 2)
    page.browser.find_element("id", "play").click()
    page.browser.execute_async_script(
        "const look = () => document.getElementById('play').ariaPressed === 'false' ? done() : setTimeout(look, 20);"
        "const done = arguments[0]; look();"
    )
    assert page.state("lit") == str(last)


def test_folded_and_unrolled(page):
    d = page.data
    page.choose(page.node("tanh", step=4))
    assert int(page.state("drawn")) > 20
    page.key("f")
    assert page.state("folded") == "true"
    of_step = sum(block != 1 or step == 4 for block, step in zip(d["block"], d["step"]))
    assert page.state("drawn") == str(of_step)
    page.slide("step", 2)
    chosen = int(page.state("selected"))
    assert d["step"][chosen] == 2 and d["key"][chosen] == d["key"][page.node("tanh", step=4)]
    assert page.browser.find_element("id", "folded").get_attribute("aria-pressed") == "true"
    page.browser.find_element("id", "unrolled").click()
    assert page.state("folded") == "false" and page.state("selected") == str(chosen)


def test_an_op_is_found_by_its_name(page):
    d = page.data
    page.key(Keys.HOME, "/")
    assert page.browser.switch_to.active_element.get_attribute("id") == "find"
    field = page.browser.switch_to.active_element
    field.send_keys("TANH")
    tanh = [n for n in range(d["count"]) if d["ops"][d["op"][n]]["name"] == "tanh"]
    assert page.state("found") == str(len(tanh)) and page.text("hits") == f"{len(tanh)} nodes"
    for n in (*tanh, tanh[0]):
        field.send_keys(Keys.ENTER)
        assert page.state("selected") == str(n)
    field.send_keys(Keys.SHIFT, Keys.ENTER, Keys.NULL)
    assert page.state("selected") == str(tanh[-1])
    field.send_keys(Keys.ESCAPE)
    assert page.state("found") == "" and page.browser.switch_to.active_element.get_attribute("id") == "graph"
    page.key("/")
    field.send_keys("nosuch", Keys.ENTER)
    assert page.text("hits") == "0 nodes" and page.state("selected") == str(tanh[-1])


def test_colour_bars_have_their_ends(opened):
    norms = {side: opened.data[f"{side}_norm"] / np.sqrt(opened.data["size"]) for side in "vg"}
    for side, rms in norms.items():
        low, high = [float(opened.text(f"{side}-{end}")) for end in ("low", "high")]
        assert 0 < low < high == pytest.approx(np.nanmax(rms), rel=2e-3)
    bars = opened.browser.find_elements("css selector", "#maps .ramp")
    assert len(bars) == len(opened.data["maps"]) and all(bar.size["width"] > 20 for bar in bars)


@pytest.mark.parametrize("other", ["lstm", "gru"])
def test_two_runs_side_by_side(browser, tmp_path, other, text):
    """What is chosen in one is chosen in the other, in a file and in a notebook's frame."""
    both = text.beside(show(*cell_and_input(other, steps=6, hidden=8, seed=1)))
    path = tmp_path / "notebook.html"
    path.write_text(f"<style>h1 {{ color: red }}</style><h1>mine</h1>{both._repr_html_()}", encoding="utf-8")
    browser.get(path.as_uri())
    browser.switch_to.frame(0)

    def inside(k, script):
        browser.switch_to.frame(k)
        try:
            waited = "requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(arguments[0], 50)))"
            browser.execute_async_script(waited)
            return browser.execute_script(script)
        finally:
            browser.switch_to.parent_frame()

    kept = "return document.getElementById('graph').dataset"
    assert "minigrad" not in inside(0, "return getComputedStyle(document.querySelector('h1')).color")
    inside(0, "const s = document.getElementById('step'); s.value = 2; s.dispatchEvent(new Event('input'))")
    assert [inside(k, kept)["step"] for k in (0, 1)] == ["2", "2"]
    find = "const s = document.getElementById('find'); s.value = 'tanh'; s.dispatchEvent(new Event('input'));"
    enter = "s.dispatchEvent(new KeyboardEvent('keydown', {key: 'Enter'}));"
    heading = "return document.querySelector('#details h2').textContent"
    assert inside(1, find + enter + heading).startswith("tanh") and inside(0, heading).startswith("tanh")
    assert browser.get_log("browser") == []
    browser.switch_to.default_content()


def test_a_click_on_a_heat_map_chooses_the_step(page):
    page.choose(page.node("tanh", step=0))
    canvas = page.browser.find_elements("css selector", "#maps canvas")[2]
    assert canvas.get_attribute("aria-label").startswith("i, 8 units over 6 steps")
    page.browser.execute_script("arguments[0].scrollIntoView()", canvas)
    ActionChains(page.browser).move_to_element_with_offset(
        canvas, int(canvas.rect["width"] * 0.25), 0
    ).click().perform()
    assert page.data["step"][int(page.state("selected"))] == 4
    assert "∂L/∂h" in page.text("flow") and "∂L/∂c" in page.text("flow")


def test_light_and_dark(page):
    def paper(scheme):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        page.state("frame")
        return pixels(page).mean()

    light, dark = paper("light"), paper("dark")
    paper("")
    assert dark < 90 < 180 < light


def test_twenty_thousand_nodes(browser, tmp_path):
    def f(x, w):
        for _ in range(6700):
            x = mg.tanh(x * w) + w
        return x.sum(), None

    x, w = [mg.tensor(np.full(2, 0.5), requires_grad=True) for _ in "xw"]
    tape = Tape(record=record(f, (x, w), leaves_of(x=x, w=w))[0])
    opened = Opened(browser, tmp_path / "large.html", page_of("large", "", tape, Kernels(), []))
    count = opened.data["count"]
    assert count > 20_000 and int(opened.state("drawn")) == count
    opened.key(Keys.END, *"+" * 14)
    assert int(opened.state("drawn")) < 400  # only what is in view
    opened.key(Keys.ARROW_UP, Keys.ARROW_UP, Keys.ARROW_UP)
    x, y = map(int, opened.state("at").split(","))
    n = opened.state("selected")
    opened.key(Keys.END)
    opened.click(x, y)
    assert opened.state("selected") == n and opened.text("vjp")
    opened.slide("slider", 12_345)
    assert opened.state("selected") == str(opened.data["order"][12_344])
    assert browser.get_log("browser") == []


def diverging(x):
    for _ in range(3):
        x = mg.exp(x * x)
    return x.sum()


OTHERS = {
    "one step": lambda: show(*cell_and_input("lstm", steps=1)),
    "images": lambda: show(*cell_and_input("convgru", steps=2, hidden=2)),
    "two ways": lambda: show(Recurrent(CELLS["gru"], 3, 4, bidirectional=True), np.ones((4, 2, 3), np.float32)),
    "a function": lambda: show(lambda x: mg.tanh(x).sum(), np.ones(3)),
    "not finite": lambda: show(diverging, np.array([1.0, 9.0, np.nan])),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_every_key_on_other_pages(kind, browser, tmp_path):
    opened = Opened(browser, tmp_path / "page.html", OTHERS[kind]())
    opened.slide("slider", 1)
    for key in (Keys.END, "f", Keys.ARROW_LEFT, "b", "+", "-", Keys.ARROW_UP, Keys.ARROW_DOWN, "0", "f", "0"):
        opened.key(key)
        assert 0 <= int(opened.state("selected")) < opened.data["count"]
    for n in range(opened.data["count"]):
        opened.key(Keys.ARROW_RIGHT if n else Keys.HOME)
    x, y = map(int, opened.state("at").split(","))
    assert 0 <= x <= opened.graph.rect["width"] and 0 <= y <= opened.graph.rect["height"]  # all of it is in view
    assert browser.get_log("browser") == []
