"""What a profile tells: rows, a table, a trace, a picture. Functions of a `profile`, which has them as methods."""

import functools
import gzip
import json
import linecache
import time
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from minigrad.compile.explain import describe
from minigrad.compile.native import flops_of, touched
from minigrad.compile.tasks import Fused
from minigrad.kernels import peaks
from minigrad.ops.pointwise import Elementwise
from minigrad.profiling import costs
from minigrad.profiling.timed import estimated
from minigrad.tensor import Tensor

MOST = 12  # rows of a table
HEADS = (
    ("ms", 10), ("share", 6), ("calls", 9), ("forward", 9), ("backward", 9), ("python", 8), ("Mflop", 9), ("peak", 6),
    ("MB", 8), ("peak", 6),
)  # fmt: skip


@dataclass
class Row:
    """Of an op, a line or a task, forward and backward: calls; seconds in kernels; python: seconds of its derivatives
    outside of kernels; flops; bytes read and written; bytes allocated. measured: or the seconds are an estimate."""

    name: str
    calls: list[int]
    seconds: list[float]
    python: float = 0.0
    flops: float = 0.0
    bytes: float = 0.0
    allocated: float = 0.0
    measured: bool = True

    @property
    def total(self) -> float:
        return sum(self.seconds)


def rows_of(found: dict) -> list[Row]:
    return sorted(found.values(), key=lambda row: -(row.total + row.python))


def row(found: dict, key, name=None) -> Row:
    if key not in found:
        found[key] = Row(name or key, [0, 0], [0.0, 0.0])
    return found[key]


def add(row: Row, event, where: int) -> None:
    row.seconds[where] += 1e-9 * event.own
    row.flops += event.flops
    row.bytes += event.bytes
    row.allocated += event.allocated


def counted(p):
    """Events that are no compilation, and whether each is of the backward."""
    for event in p.events:
        if event.phase in ("forward", "backward"):
            yield event, int(event.phase == "backward")


def by_op(p) -> list[Row]:
    """A row an op, and one a compiled loop. Of a derivative, the kernels that it calls count for its op."""
    found: dict = {}
    for event, where in counted(p):
        if event.kind in ("kernel", "loop"):
            to = row(found, event.owner or event.name)
            add(to, event, where)
            to.calls[where] += event.owner is None
        elif event.kind == "pull":
            to = row(found, event.name)
            to.python += 1e-9 * event.own
            to.calls[where] += event.owner is not None
    return rows_of(found)


def by_line(p) -> list[Row]:
    """A row a line of the user's code. Of a compiled loop, each line has the share of the tasks that it is part of."""
    found: dict = {}
    for event, where in counted(p):
        if event.kind == "kernel":
            to = row(found, place_of(event.site))
            add(to, event, where)
            to.calls[where] += 1
        elif event.kind == "pull":
            row(found, place_of(event.site)).python += 1e-9 * event.own
        elif event.kind == "loop":
            times = next(t for t in p.loops.values() if t.name == event.name)
            length = times.kernel.loop.length
            for task, share, flops, moved in zip(times.kernel.schedule.tasks, *shares(times)):
                values = (task.values or [v for v, _ in task.writes]) if isinstance(task, Fused) else [task.value]
                for v in values:
                    to = row(found, place_of(v.site or event.site))
                    part = share / len(values)
                    to.calls[where] += length
                    to.seconds[where] += part * 1e-9 * event.own
                    to.flops += length * flops / len(values)
                    to.bytes += length * moved / len(values)
                    to.measured = to.measured and times.timed is not None
    return [Row(line(place), *list(vars(r).values())[1:]) for place, r in
            sorted(found.items(), key=lambda item: -(item[1].total + item[1].python))]  # fmt: skip


def by_task(p) -> list[Row]:
    """A row a task of a compiled loop, all its steps together; and one for what surrounds them."""
    found = []
    for times in p.loops.values():
        kernel, length = times.kernel, times.kernel.loop.length
        where = int(all(e.phase == "backward" for e in p.events if e.kind == "loop" and e.name == times.name))

        def made(name, calls, nanoseconds, flops, moved, measured):
            r = Row(f"{times.name}: {name}", [0, 0], [0.0, 0.0], 0.0, calls * flops, calls * moved, 0.0, measured)
            r.calls[where], r.seconds[where] = calls, 1e-9 * nanoseconds
            found.append(r)

        for task, share, flops, moved in zip(kernel.schedule.tasks, *shares(times)):
            known = times.timed is not None
            made(describe(task), times.calls * length, share * times.running, flops, moved, known)
        made("packing of weights, room for results", times.calls, times.time - times.running, 0, 0, True)
    return sorted(found, key=lambda row: -row.total)


def shares(times) -> tuple[np.ndarray, list, list]:
    """Of each task of a loop, its share of the time, flops and bytes a step."""
    tasks = times.kernel.schedule.tasks
    weights = times.ticks if times.ticks.sum() > 0 else estimated(times.kernel, peaks.flops(), peaks.bandwidth())
    return weights / max(weights.sum(), 1e-30), [flops_of(t) for t in tasks], [touched(t) for t in tasks]


@functools.lru_cache(maxsize=65536)
def place_of(site) -> tuple[str, int]:
    """File and line number of a site."""
    code, instruction = site
    number = next(islice(code.co_positions(), instruction // 2, None), (0,))[0] or code.co_firstlineno
    return code.co_filename, number


def line(place: tuple[str, int]) -> str:
    file, number = place
    text = linecache.getline(file, number).strip()
    return f"{Path(file).name}:{number}  {text}"


def event_cost(profile: type) -> float:
    """Seconds that the profiler itself takes an event: calls of a small op, profiled and not."""
    x, add = Tensor(np.ones(2, np.float32)), Elementwise.namespace["add"]

    def seconds():
        start = time.thread_time()  # of this thread alone: other work on the machine does not count
        for _ in range(200):
            add(x, x)
        return time.thread_time() - start

    seconds()
    plain = min(seconds() for _ in range(5))
    with profile():
        watched = min(seconds() for _ in range(5))
    return max(0.0, watched - plain) / 200


# Text


def table(p) -> str:
    parts = p.seconds
    run = max(parts["whole"] - parts["compile"], 1e-12)
    own, watched = event_cost(type(p)), sum(e.kind != "compile" for e in p.events)
    took: dict[str, int] = {}
    for e in p.events:
        if e.phase == "compile":
            name = e.name if e.kind == "compile" else "kernels that ran meanwhile"
            took[name] = took.get(name, 0) + e.own
    compiled = [f"{name} {ms(1e-9 * n)}" for name, n in took.items()]
    lines = [f"{'':26}{'forward':>11}{'backward':>11}{'share':>7}"]
    for what, name in (("kernels", "kernels"), ("Python", "Python: tape, your code")):
        both = [parts[f"{what} {phase}"] for phase in ("forward", "backward")]
        lines.append(f"{name:26}{ms(both[0]):>11}{ms(both[1]):>11}{sum(both) / run:>7.0%}")
    lines += [
        f"{'run':26}{ms(run):>11}   about {ms(own * watched)} of Python's is the profiler's own: {watched:,} events",
        f"{'compilation':26}{ms(parts['compile']):>11}   {', '.join(compiled) or 'nothing was compiled'}",
        f"peaks of this machine     {peaks.flops() / 1e9:.0f} GFLOP/s (a large float32 product), "
        f"{peaks.bandwidth() / 1e9:.1f} GB/s (a large copy; what stays in a cache can be faster)",
    ]
    for title, rows in tables(p):
        lines += section(title, rows)
    return "\n".join([*lines, *notes(p), *memory(p)])


def tables(p) -> list[tuple[str, list[Row]]]:
    """The tables that have rows, with their titles."""
    found = ("op", p.by_op), ("fused task (all steps)", p.by_task), ("line", p.by_line)
    return [(title, rows) for title, rows in found if rows]


def notes(p) -> list[str]:
    """What is to be said of figures that would be taken for something else."""
    lines = []
    if not all(r.measured for r in p.by_task):
        lines += ["", "~ estimated: tasks of compiled loops share their loop's time by flops and bytes"]
    faster = [r.name for r in p.by_op if r.total and r.flops / r.total > peaks.flops()]
    return lines + (["", f"{', '.join(faster)} {costs.ABOVE_PEAK}."] if faster else [])


def section(title: str, rows: list[Row]) -> list[str]:
    """A table of the rows that took longest, times in ms; what is zero is left out."""
    whole = max(sum(row.total + row.python for row in rows), 1e-12)
    lines = ["", "".join(f"{head:>{width}}" for head, width in HEADS) + f"  {title}"]
    for r in rows[:MOST]:
        name = r.name if len(r.name) <= 60 else r.name[:57] + "..."
        lines.append("".join(f"{cell:>{width}}" for cell, (_, width) in zip(cells(r, whole), HEADS)) + f"  {name}")
    if left := rows[MOST:]:
        lines.append(f"{1e3 * sum(r.total + r.python for r in left):10.3f}  in {len(left)} more")
    return lines


def cells(r: Row, whole: float) -> list[str]:
    """The figures of a row, as `HEADS` calls them. whole: seconds of all rows."""
    time = max(r.total, 1e-12)
    return [
        f"{'' if r.measured else '~'}{1e3 * (r.total + r.python):.3f}",
        f"{(r.total + r.python) / whole:.0%}",
        f"{sum(r.calls):,}",
        *[f"{1e3 * s:.3f}" if s else "" for s in (*r.seconds, r.python)],
        f"{r.flops / 1e6:.2f}" if r.flops else "",
        f"{r.flops / time / peaks.flops():.0%}" if r.flops else "",
        f"{r.bytes / 1e6:.2f}" if r.bytes else "",
        f"{r.bytes / time / peaks.bandwidth():.0%}" if r.bytes else "",
    ]


def memory(p) -> list[str]:
    lines = [""]
    allocated = sorted(((r.allocated, r.name) for r in p.by_op if r.allocated), reverse=True)
    if allocated:
        most = ", ".join(f"{name} {size(n)}" for n, name in allocated[:5])
        lines.append(f"Kernels allocated {size(sum(n for n, _ in allocated))}: {most}.")
    if p.held:
        most = ", ".join(f"{op} {size(n)} in {count}" for op, (count, n) in list(p.held.items())[:6])
        lines.append(f"When backward began, the tape held {size(sum(n for _, n in p.held.values()))}: {most}.")
    if hasattr(p, "peak_memory"):
        lines.append(f"Peak of the memory of Python and NumPy, above what there was before: {size(p.peak_memory)}.")
    return lines


def ms(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 10 else f"{1e3 * seconds:.2f} ms"


def size(n: float) -> str:
    for unit in ("B", "kB", "MB"):
        if n < 1000:
            return f"{n:.3g} {unit}"
        n /= 1000
    return f"{n:.3g} GB"


# Files


def save_trace(p, path) -> None:
    """Write a trace to look at in https://ui.perfetto.dev: Chrome's JSON (complete events, times in microseconds),
    gzipped. OSError if that cannot be done."""
    names = ("process_name", "minigrad"), ("thread_name", p.thread_name)
    events: list[dict] = [{"ph": "M", "pid": 1, "tid": 1, "name": k, "args": {"name": name}} for k, name in names]
    starts = sorted(p.events, key=lambda e: (e.start, -e.end))
    whole = {"name": "profile", "cat": "profile", "ts": 0, "dur": (p.end - p.start) / 1000}
    for span in [whole, *[span for e in starts for span in spans(p, e)]]:
        events.append({"ph": "X", "pid": 1, "tid": 1, **span})
    events += [
        {"ph": "C", "pid": 1, "name": name, "ts": (at - p.start) / 1000, "args": values}
        for name, at, values in counters(p) if p.start <= at <= p.end
    ]  # fmt: skip
    with gzip.open(path, "wt", encoding="utf-8") as file:
        json.dump({"displayTimeUnit": "ms", "traceEvents": events}, file, separators=(",", ":"))


def counters(p):
    """(name, nanoseconds, values): the speed of what runs, what kernels have allocated, the memory that is held."""
    allocated = 0
    for e in sorted([e for e in p.events if e.kind in ("kernel", "loop")], key=lambda e: e.end):
        took = max(e.end - e.start, 1)  # flops a nanosecond are Gflops a second
        yield "speed", e.start, {"GFLOP/s": round(e.flops / took, 2), "GB/s": round(e.bytes / took, 2)}
        yield "speed", e.end, {"GFLOP/s": 0, "GB/s": 0}
        if e.allocated:
            allocated += e.allocated
            yield "allocated by kernels", e.end, {"bytes": allocated}
    for at, held in p.traced:
        yield "memory of Python and NumPy", at, {"bytes": held}


def spans(p, e):
    """An event as complete events of the trace; the tasks of a loop, all steps together, follow each other in it."""
    name = f"{e.owner}: {e.name}" if e.owner and e.owner != e.name else e.name
    span = {
        "name": name,
        "cat": f"{e.kind},{e.phase}",
        "ts": (e.start - p.start) / 1000,
        "dur": (e.end - e.start) / 1000,
    }
    if e.site is not None:
        file, number = place_of(e.site)
        span["args"] = {"line": f"{file.split('/')[-1]}:{number}"}
    yield span
    if e.kind == "loop":
        times = next(t for t in p.loops.values() if t.name == e.name)
        at, scale = e.start - p.start, times.running / max(times.time, 1)
        for task, share in zip(times.kernel.schedule.tasks, shares(times)[0]):
            duration = int(share * scale * (e.end - e.start))
            args = {"steps": times.kernel.loop.length, "time": "measured" if times.timed else "estimated"}
            yield {"name": describe(task), "cat": "task", "ts": at / 1000, "dur": duration / 1000, "args": args}
            at += duration


def save_picture(p, path) -> None:
    """Draw the roofline of this machine with the ops, loops and tasks in it (matplotlib decides the format by the
    name). OSError if the file cannot be written, ImportError without matplotlib."""
    from minigrad.profiling.picture import draw

    draw(p).savefig(path, dpi=130)
