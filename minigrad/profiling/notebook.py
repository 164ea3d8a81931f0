"""What a notebook shows of a profile: the same tables as its text."""

from html import escape

from minigrad.html import table
from minigrad.profiling import report


def shown(p) -> str:
    parts = p.seconds
    run = max(parts["whole"] - parts["compile"], 1e-12)
    rows = []
    for what, name in (("kernels", "kernels"), ("Python", "Python: tape, your code")):
        both = [parts[f"{what} {phase}"] for phase in ("forward", "backward")]
        rows.append([name, *map(report.ms, both), f"{sum(both) / run:.0%}"])
    html = [table(("", "forward", "backward", "share"), rows)]
    html.append(f"<div>run {report.ms(run)}, compilation {report.ms(parts['compile'])}</div>")
    for title, found in report.tables(p):
        whole = max(sum(row.total + row.python for row in found), 1e-12)
        cells = [[row.name, *report.cells(row, whole)] for row in found[: report.MOST]]
        opened = " open" if title == "op" else ""
        body = table((title, *[head for head, _ in report.HEADS]), cells)
        html.append(f"<details{opened}><summary>by {title}</summary>{body}</details>")
    notes = [line for line in [*report.notes(p), *report.memory(p)] if line]
    return f"<div>{''.join(html)}{''.join(f'<div>{escape(line)}</div>' for line in notes)}</div>"
