"""A page as an object: text that shows itself in a notebook, and saves itself."""

import base64
import hashlib
import re
from html import escape
from importlib import resources
from pathlib import Path

from minigrad.arguments import checked
from minigrad.html import frame


def sha256(text: str) -> str:
    """What a page's rules call a script or a style by, so that no other runs."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


class Page(str):
    """The text of an HTML file that needs nothing else. A notebook shows it, in a frame of its own.

    Attributes
    ----------
    name
        Of what it is a page of.

    Examples
    --------
    >>> page = mg.viz.show(mg.models.LSTMCell(3, 4), np.ones((5, 2, 3), "float32"))
    >>> page
    Page of LSTMCell, 0.1 MB
    """

    name: str

    def __new__(cls, text: str, name: str) -> "Page":
        page = super().__new__(cls, text)
        page.name = name
        return page

    def __repr__(self) -> str:
        return f"Page of {self.name}, {len(self) / 1e6:.1f} MB"

    def _repr_html_(self) -> str:
        return frame(self)

    @checked
    def save(self, path: str | Path) -> Path:
        """Write the file, and return its path. OSError where that cannot be done."""
        path = Path(path)
        path.write_text(self, encoding="utf-8")
        return path

    @checked
    def beside(self, other: "Page") -> "Page":
        """A page with both, side by side: the step that is chosen in one is chosen in the other, and so is the node, if
        the other one has it. To compare two runs: of two cells, or of one before and after it has been trained.
        """
        files = resources.files("minigrad.viz") / "static"
        style, script = [(files / name).read_text("utf-8") for name in ("beside.css", "beside.js")]
        name = self.name if self.name == other.name else f"{self.name} and {other.name}"
        heads = [page.partition("<style>")[0] for page in (self, other)]
        inner = re.findall("'(sha256-[^']+)'", "".join(heads))  # of their scripts and styles: our rules are theirs, too
        hashes = " ".join(f"'{hashed}'" for hashed in dict.fromkeys([sha256(style), sha256(script), *inner]))
        frames = "".join(
            f'<iframe title="{escape(page.name)}" srcdoc="{escape(page)}" sandbox="allow-scripts"></iframe>'
            for page in (self, other)
        )
        rule = f"default-src 'none'; script-src {hashes}; style-src {hashes}; img-src data:"
        return Page(
            f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{rule}">\n<link rel="icon" href="data:,">\n'
            f"<title>{escape(name)} · minigrad</title>\n<style>{style}</style>\n</head>\n"
            f"<body>{frames}<script>{script}</script></body>\n</html>\n",
            name,
        )
