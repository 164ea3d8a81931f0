"""What a notebook shows of an `Explanation`: the loops and their kernels, and each pass with its two programs side by
side, folded up until they are asked for."""

import difflib
from collections.abc import Iterator
from html import escape
from typing import Any

CONTEXT = 3  # lines around what a pass has changed
PRE = 'style="margin:0;overflow:auto;max-height:520px;font:12px/1.45 ui-monospace,Menlo,Consolas,monospace"'
CHANGED = 'style="background:rgba(255,190,0,0.28)"'


def shown(explanation: Any) -> str:
    first, *others = str(explanation).partition("\n\n")[0].splitlines()
    parts = [f"<b>{escape(first)}</b>", *map(escape, others), *[escape(line) for line in explanation.totals()]]
    html = [f"<div>{'<br/>'.join(parts)}</div>"]
    for name, reports in (("Loop", explanation.loops), ("Outside of loops, kernel", explanation.clusters)):
        for k, report in enumerate(reports, 1):
            head, *rest = str(report).splitlines()
            html.append(folded(f"{name} {k}: {head}", pre("\n".join([*rest, "", report.source or ""]))))
    html.append("<div>Passes that changed something (ops inside of loops, and outside):</div>")
    for (line, changes), before, after in zip(explanation.passes()[1:], explanation.stages, explanation.stages[1:]):
        if changes:
            html.append(folded(" ".join(line.split()), side_by_side(before.program, after.program)))
    trace, runs = explanation.stages[0].program, explanation.stages[-1].program
    html.append(folded("All passes: as it was traced, and what runs", columns(pre(trace), pre(runs))))
    return f'<div style="max-width:1500px">{"".join(html)}</div>'


def folded(title: str, inside: str) -> str:
    return f"<details><summary>{escape(title)}</summary>{inside}</details>"


def pre(text: str) -> str:
    return f"<pre {PRE}>{escape(text)}</pre>"


def columns(left: str, right: str) -> str:
    cell = '<div style="flex:1 1 0;min-width:0;border-left:2px solid #8884;padding-left:8px">'
    return f'<div style="display:flex;gap:10px;text-align:left">{cell}{left}</div>{cell}{right}</div></div>'


def side_by_side(before: str, after: str) -> str:
    """Two programs, what differs marked, and a few lines around it."""
    a, b = before.splitlines(), after.splitlines()
    sides: tuple[list[str], list[str]] = [], []
    for lines, side, span in differences(a, b):
        for text, marked in lines:
            sides[side].append(f"<span {CHANGED}>{escape(text) or ' '}</span>" if marked else escape(text))
        sides[side].extend([""] * (span - len(lines)))  # so that what follows stands on one line again
    return columns(*[f"<pre {PRE}>{chr(10).join(side)}</pre>" for side in sides])


def differences(a: list[str], b: list[str]) -> Iterator[tuple[list[tuple[str, bool]], int, int]]:
    """(lines and whether they differ, side, how many lines both sides take), group by group."""
    for k, group in enumerate(difflib.SequenceMatcher(None, a, b, autojunk=False).get_grouped_opcodes(CONTEXT)):
        for side in (0, 1):
            if k or group[0][1] or group[0][3]:
                yield [("⋮", False)], side, 1
        for _, a0, a1, b0, b1 in group:
            both = a[a0:a1], b[b0:b1]
            for side, lines in enumerate(both):
                yield [(line, both[0] != both[1]) for line in lines], side, max(map(len, both))
