"""Threads that share the calls of a kernel, and wait for the next ones awake.

To wake a sleeping thread takes some 100 us, and a training step has several regions that threads share, tenths of a
millisecond apart. So a worker that has finished looks for more for a moment before it goes to sleep, outside of
Python: neither it nor the thread that it helps waits for the interpreter lock. Each thread takes the next piece when it
has done one, so that one that another process keeps from its work leaves more to the others. After the first looks a
worker lets others have its core between one look and the next, so that a busy machine loses little.

    workers: sleep -> look (turns, of which the last are polite) -> take pieces -> look -> ... -> sleep
    caller:  wake who sleeps; open; take pieces; close; wait until no worker is active; return
"""

import ctypes
import functools

from minigrad.kernels import build

SECTIONS = 64  # at most
RECALL, JOB, NEXT = 64, 80, 96  # where some integers of a team are; see the text below
STEP = 16  # from the NEXT of a section to that of another
FIELDS = NEXT + STEP * SECTIONS

TEXT = '''
# Fields of a team, each on cache lines of its own: 64-bit integers.
TICKET, OPEN, ACTIVE, AWAKE, RECALL, JOB, NEXT = 0, 128, 256, 384, 512, 640, 768


@njit
def number(at, k):
    return load_any(at, k, np.int64)


def take(team, room, me):
    """Take pieces until there are none: piece k is the calls from starts[k] to starts[k + 1]."""
    job = team + JOB
    function, calls, starts = number(job, 0), number(job, 1), number(job, 2)
    count, sections = number(job, 3), number(job, 4)
    for turn in range(sections):
        section = (me + turn) % sections
        first, end = count * section // sections, count * (section + 1) // sections
        k = first + add(team + NEXT + 128 * section, 1)
        while k < end:
            for i in range(number(starts, k), number(starts, k + 1)):
                call(function, number(calls, 2 * i), number(calls, 2 * i + 1), room)
            k = first + add(team + NEXT + 128 * section, 1)


def summon(team, wanted, missing):
    """How many workers are to be woken, to the address `missing`; they count as awake from now on."""
    n = max(0, wanted - look(team + AWAKE))
    add(team + AWAKE, n)
    store_any(missing, 0, np.int64(n))


def lead(team, room, turns, polite, give_way, sleep):
    add(team + OPEN, 1)
    add(team + TICKET, 1)
    take(team, room, 0)
    add(team + OPEN, -1)
    left = turns
    while look(team + ACTIVE) != 0:
        if left > 0:
            left -= 1
            if left < polite:
                call(give_way, 0)
        elif sleep != 0:
            call(sleep, 20)


def work(team, room, turns, polite, give_way, me):
    seen = look(team + TICKET) - 1
    while True:
        left = turns
        while left > 0 and look(team + RECALL) == 0:
            left -= 1
            if left < polite:
                call(give_way, 0)
            ticket = look(team + TICKET)
            if ticket != seen:
                add(team + ACTIVE, 1)  # the caller does not return before this is 0 again
                if look(team + OPEN) != 0:
                    take(team, room, me)
                add(team + ACTIVE, -1)
                seen, left = ticket, turns
        add(team + AWAKE, -1)
        if look(team + TICKET) == seen or look(team + RECALL) != 0:
            return
        add(team + AWAKE, 1)  # a call came at the last moment, and nobody will wake us for it
'''


ARGUMENTS = {"take": 3, "summon": 3, "lead": 6, "work": 6}


@functools.cache
def functions() -> dict:
    """The C functions of the text that Python calls, by name."""
    found = build.addresses(TEXT, {name: ", ".join(["intp"] * n) for name, n in ARGUMENTS.items()})
    prototypes = [ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * n) for n in ARGUMENTS.values()]
    return {name: prototype(address) for name, prototype, address in zip(ARGUMENTS, prototypes, found)}
