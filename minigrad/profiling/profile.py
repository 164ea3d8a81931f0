"""Where the time goes: an observer that takes the time of everything that the engine does."""

import copy
import functools
import sys
import threading
import time
import tracemalloc
import types
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from minigrad import tape
from minigrad.arguments import checked
from minigrad.compile.compiled import Compiled
from minigrad.compile.execute import Sequence
from minigrad.compile.native import Kernel
from minigrad.deferred import DeferredProduct
from minigrad.kernels import build, loops, threads
from minigrad.mutations import memory_of
from minigrad.observe import Observer, replaced
from minigrad.ops.table import table
from minigrad.profiling import costs, notebook, report
from minigrad.profiling.timed import TimedKernel
from minigrad.sites import call_site
from minigrad.tape import tape_of

now = time.perf_counter_ns
FORWARD, BACKWARD, COMPILE = "forward", "backward", "compile"
PHASES = FORWARD, BACKWARD
NOTHING = 0.0, 0, 0  # flops, bytes, allocated


class Event(NamedTuple):
    """Something that the engine did. kind: "kernel", "loop", "pull" (back through a node), "backward" (all of it),
    "compile", or "profile" (what the profiler does itself). owner: the op whose derivative a kernel is run for, or
    None. start, end, own: nanoseconds, own without what is nested. site: (code, instruction) of the user's line.
    """

    kind: str
    name: str
    owner: str | None
    phase: str
    start: int
    end: int
    own: int
    site: Any
    flops: float
    bytes: int
    allocated: int


class LoopTimes:
    """A compiled loop: calls; time, nanoseconds in all, and running, those without packing and making room; ticks,
    cycles of each task, where they are measured."""

    def __init__(self, name: str, kernel: Kernel, timed: TimedKernel | None = None):
        self.name, self.kernel = name, kernel
        self.calls, self.time, self.running = 0, 0, 0
        self.ticks = np.zeros(len(kernel.schedule.tasks), np.int64)
        self.timed = timed


class profile(Observer):
    """`with mg.profile() as p:` around any code takes the time of what the engine does there, in this thread.

    tasks: time the tasks of compiled loops too, by a clock within the kernel, which is compiled for it when it first
    runs; otherwise their times are estimates, from their flops and bytes (marked ~). memory: also follow the memory
    that Python and NumPy hold, with tracemalloc; that makes all else slower, so take times and memory in two passes.

    `print(p)` is a table, `p.save_trace("trace.json.gz")` a trace for https://ui.perfetto.dev, `p.save_picture(
    "profile.png")` a roofline. As objects: `p.events`; `p.by_op`, `p.by_line` and `p.by_task`, lists of rows, slowest
    first; `p.seconds` (a dict); `p.held`, op -> (arrays, bytes) that the tape held when the largest backward began;
    `p.peak_memory`, bytes (with memory); `p.kernels`, the names that `p.inspect(name)` takes: source, LLVM IR, assembly
    and vectorisation of a kernel.

    Time in kernels apart, all is Python: the tape, your code, and NumPy where a derivative calls it directly. Flops and
    bytes are counted from shapes (minigrad/profiling/costs.py); bytes are those of operands, so that what stays in the
    cache may go beyond the bandwidth of the memory. Threads of minigrad's own work inside of the kernels that are
    timed; other threads of yours are not looked at. Results are the same bits.

    Off, it costs nothing: nothing in the engine asks for it. On, 3 to 7 us an event and 1 ms around: an eager LSTM of
    32 to 64 units takes 2 to 3 times as long, a compiled one of 100 steps, batch 16 and 64 units 5 to 10% longer, one
    of batch 1 and 32 units, which takes a millisecond itself, twice as long (benchmarks/profile_cost.py).

    Examples
    --------
    >>> with mg.profile() as p:
    ...     y = mg.tanh(mg.ones((4, 4)) @ mg.ones((4, 4)))
    >>> sorted(row.name for row in p.by_op if row.name in ("matmul", "tanh"))
    ['matmul', 'tanh']
    """

    @checked
    def __init__(self, tasks: bool = False, memory: bool = False):
        self.tasks, self.memory = tasks, memory

    def __enter__(self) -> "profile":
        self.events: list[Event] = []
        self.stack, self.phase, self.owner, self.site = [0], FORWARD, None, None
        self.called = 0  # nanoseconds in the threads of a compiled loop
        self.product: Any = None  # flops, bytes and site of a sum of products that is about to be worked out
        self.sites: dict = {}  # of sums of products
        self.last: Any = None  # the node that was pulled back last
        self.programs: dict[Sequence, Sequence] = {}
        self.loops: dict[Kernel, LoopTimes] = {}
        self.ops: dict = {}  # elementwise ops that ran, with their dtypes
        self.held: dict[str, tuple[int, int]] = {}  # op -> arrays, bytes
        self.traced: list[tuple[int, int]] = []  # with memory: (nanoseconds, bytes)
        self.thread_name = threading.current_thread().name
        super().__enter__()
        for owner, name, wrap in self.places():
            self.replacements.enter_context(replaced(owner, name, wrap))
        self.own_trace = self.memory and not tracemalloc.is_tracing()
        if self.own_trace:
            tracemalloc.start()
        if self.memory:
            tracemalloc.reset_peak()
            self.memory_before = tracemalloc.get_traced_memory()[0]
        self.start = self.end = now()
        return self

    def __exit__(self, *error: Any) -> None:
        self.end = now()
        if self.memory:
            self.peak_memory = tracemalloc.get_traced_memory()[1] - self.memory_before
        if self.own_trace:
            tracemalloc.stop()
        super().__exit__(*error)

    def take_loops(self, other: "profile") -> None:
        """Use the loops with a clock that another profile has compiled."""
        for kernel, known in other.loops.items():
            self.loops[kernel] = LoopTimes(known.name, kernel, known.timed)

    # What is watched

    def places(self):
        """What an Observer does not see: compilation, the whole of a backward, additions of cotangents."""

        def here(method):
            def wrap(f):
                return lambda *a, **k: method(f, *a, **k) if self.here else f(*a, **k)

            return wrap

        for name in ("tape", "tensor", "transforms", "custom"):
            yield sys.modules[f"minigrad.{name}"], "pull_back", here(self.pull_back)
        yield tape, "accumulate", here(self.accumulate)
        yield DeferredProduct, "value", here(self.deferred)
        yield Sequence, "__call__", here(self.program)
        yield Compiled, "__init__", here(functools.partial(self.compiling, "trace and passes"))
        yield loops, "elementwise", here(functools.partial(self.compiling, "text of kernels"))
        yield build, "compile_object", here(functools.partial(self.compiling, "LLVM"))
        yield build, "load", here(functools.partial(self.compiling, "load machine code"))
        for name in ("call", "alone"):
            yield threads, name, here(self.threads_call)

    def timed(self, kind: str, name: str, run: Callable, site=None, work=None):
        """run(), and an event for it. work: from the result to flops, bytes and bytes allocated."""
        stack, phase, owner, done, end = self.stack, self.phase, self.owner, NOTHING, 0
        stack.append(0)
        start = now()
        try:
            result = run()
            end = now()
            if work is not None:
                done = work(result)
            return result
        finally:
            end = end or now()
            inside = stack.pop()
            stack[-1] += end - start
            event = kind, name, owner, phase, start, end, end - start - inside, site, *done
            self.events.append(tuple.__new__(Event, event))
            if self.memory:
                self.traced.append((now(), tracemalloc.get_traced_memory()[0] - self.memory_before))

    def kernel(self, op, run, arrays):
        product, self.product = self.product, None
        if hasattr(op, "vjp_kernels"):
            self.ops[op, getattr(arrays[0], "dtype", None) or getattr(arrays[-1], "dtype", None)] = None
        if product is not None:
            known, site = product
            before, self.owner = self.owner, op.name
            try:
                return self.timed("kernel", "sum of products", run, site, lambda result: known)
            finally:
                self.owner = before
        work = functools.partial(costs.work, op.name, arrays)
        return self.timed("kernel", op.name, run, self.site or call_site(), work)

    def loop(self, kernel, run, arrays):
        if isinstance(kernel, TimedKernel):
            return run()
        name = "cluster" if kernel.loop.is_cluster else "loop"
        times = self.loops.setdefault(kernel, LoopTimes(f"{name}{len(self.loops) + 1}", kernel))
        if self.tasks:
            if times.timed is None:
                times.timed = self.compiling("the loop with a clock", TimedKernel, kernel.loop, kernel.call_of)
            run = functools.partial(times.timed.run, arrays)
        steps = kernel.loop.length
        moved = int(steps * kernel.touched)

        def work(results):
            made = {id(memory_of(r)): memory_of(r).nbytes for r in results}
            return steps * kernel.flops, moved, sum(made.values())

        self.called = 0
        result = self.timed("loop", times.name, run, self.site or call_site(), work)
        times.calls += 1
        times.time += self.events[-1].own
        times.running += self.called
        if times.timed is not None:
            times.ticks += times.timed.ticks()
        return result

    def pull(self, node, run, cotangent):
        before = self.owner, self.site
        self.last = node
        of_table = table.get(node.op.name) is node.op
        self.owner, self.site = node.op.name if of_table else None, node.site
        try:
            pulled = self.timed("pull", node.op.name, run, node.site)
        finally:
            self.owner, self.site = before
        for g in pulled:
            if type(g) is DeferredProduct:
                self.sites[id(g)] = node.site
        return pulled

    def pull_back(self, run, roots, *args, **named):
        if self.phase == COMPILE:
            return run(roots, *args, **named)
        before, outer_site, site = self.phase, self.site, call_site()
        if before is FORWARD:
            self.timed("profile", "walk of the tape", lambda: self.look(roots))
            self.sites.clear()
        self.phase = BACKWARD
        self.site = self.site or site
        try:
            return self.timed("backward", "backward", lambda: run(roots, *args, **named), site)
        finally:
            self.phase, self.site = before, outer_site

    def accumulate(self, run, pending, ours, parent, pulled):
        known, before = pending.get(parent), (self.owner, self.site)
        add = functools.partial(run, pending, ours, parent, pulled)
        if self.last is not None:
            self.owner, self.site = self.last.op.name, self.last.site or self.site
        try:
            if known is None or self.phase == COMPILE or type(known) is DeferredProduct:
                add()
            else:
                size, item = int(np.prod(parent.shape)), parent.dtype.itemsize
                self.owner = None
                self.timed("kernel", "add of cotangents", add, self.site, lambda _: (size, 3 * size * item, 0))
        finally:
            self.owner, self.site = before

    def deferred(self, run, product):
        factors = sum(a.nbytes for a in [*product.lefts, *product.rights])
        size = int(np.prod(product.shape))
        made = size * product.dtype.itemsize if product.lefts else 0
        site = self.sites.get(id(product)) or self.site or call_site()
        self.product = (2.0 * product.kept * size, factors + made, made), site
        return run(product)

    def program(self, run, sequence, arrays):
        """Of a compiled program: each call in it is given to the line that it comes from."""
        if sequence not in self.programs:

            def at(site, f):
                def call(*arrays):
                    before, self.site = self.site, site
                    try:
                        return f(*arrays)
                    finally:
                        self.site = before

                return call

            made = copy.copy(sequence)
            made.globals = dict(sequence.globals)
            for k, v in enumerate(sequence.order, len(sequence.inputs)):
                if (f := sequence.globals.get(f"of_v{k}")) is not None:  # no pick
                    made.globals[f"of_v{k}"] = at(v.site or self.site or call_site(), f)
            made.run = types.FunctionType(sequence.run.__code__, made.globals)
            self.programs[sequence] = made
        return run(self.programs[sequence], arrays)

    def threads_call(self, run, *args):
        start = now()
        try:
            return run(*args)
        finally:
            self.called += now() - start

    def compiling(self, name, run, *args, **named):
        before, self.phase = self.phase, COMPILE
        try:
            return self.timed("compile", name, functools.partial(run, *args, **named), self.site)
        finally:
            self.phase = before

    def look(self, roots):
        """What the tape holds: each memory once, for the op that first saved it."""
        found: dict[str, list] = {}
        seen: set = set()

        def arrays(x):
            if isinstance(x, np.ndarray):
                yield memory_of(x)
            elif isinstance(x, (tuple, list)):
                for part in x:
                    yield from arrays(part)

        for node in tape_of(roots):
            for memory in arrays(node.saved):
                if id(memory) not in seen:
                    seen.add(id(memory))
                    found.setdefault(node.op.name, []).append(memory.nbytes)
        held = {op: (len(sizes), sum(sizes)) for op, sizes in found.items()}
        if sum(n for _, n in held.values()) >= sum(n for _, n in self.held.values()):
            self.held = dict(sorted(held.items(), key=lambda item: -item[1][1]))

    # What was seen

    @property
    def seconds(self) -> dict[str, float]:
        """whole (without what the profiler did itself), and its parts: kernels and Python, forward and backward;
        compile."""
        own: dict = {}
        for e in self.events:
            what = "kernels" if e.kind in ("kernel", "loop") else "Python"
            part = e.kind if e.kind == "profile" else COMPILE if e.phase is COMPILE else f"{what} {e.phase}"
            own[part] = own.get(part, 0) + e.own
        whole = self.end - self.start - own.pop("profile", 0)
        parts = {f"{what} {phase}": own.get(f"{what} {phase}", 0) for what in ("kernels", "Python") for phase in PHASES}
        parts[COMPILE] = own.get(COMPILE, 0)
        parts["Python forward"] = whole - sum(n for name, n in parts.items() if name != "Python forward")
        return {name: 1e-9 * n for name, n in {"whole": whole, **parts}.items()}

    by_op = property(report.by_op)
    by_line = property(report.by_line)
    by_task = property(report.by_task)
    __str__ = report.table
    _repr_html_ = notebook.shown
    save_trace = report.save_trace
    save_picture = report.save_picture
    kernels = property(lambda self: list(self.sources()))

    def sources(self) -> dict:
        """The kernels that can be inspected, by name: arguments of `inspect_source`."""
        from minigrad.kernels.inspection import elementwise_sources

        found = {}
        for times in self.loops.values():
            found[times.name] = (times.kernel.source, "loop", "intp, intp, intp")
        for op, dtype in self.ops:
            if dtype is not None and dtype.kind == "f" and op.derivatives:
                found |= elementwise_sources(op, dtype.name)
        return found

    def inspect(self, name: str):
        """Source, LLVM IR, assembly and vectorisation of a kernel (minigrad.inspect_kernel). KeyError for another."""
        from minigrad.kernels.inspection import inspect_source

        found = self.sources()
        if name not in found:
            raise KeyError(f"no kernel {name!r} ran here; there are {', '.join(found)}")
        return inspect_source(name, *found[name])
