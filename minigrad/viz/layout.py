"""Where each node of a tape is drawn: time from left to right, a step's depth from top to bottom.

Every step of a loop is drawn alike, so a step is laid out once. What belongs to no step stands in a block before the
loops or behind them. Positions are in lanes and rows; the page and the SVG make pixels of them.
"""

import math
from collections import defaultdict

import numpy as np

from minigrad.tape import Pick
from minigrad.viz.record import OUTSIDE, Record

BEFORE, STEP, AFTER = range(3)
MOST_ROWS, GAP = 14, 1.0  # rows of a block before it goes on beside itself; lanes between blocks


class Layout:
    """keys: by node, which node of a step it is, numbered (a node outside of loops has its own). block: BEFORE, STEP or
    AFTER. x: lanes from the left of the block, or of the step. y: rows. step: the step, counted from 0 (0 outside).
    steps: how many there are. widths: of the block before, a step, the block behind. rows: in all."""

    def __init__(self, record: Record):
        count = len(record.nodes)
        parents = [record.parents(k) for k in range(count)]
        places = record.places
        self.block = np.zeros(count, int)
        for k in range(count):
            if places[k] != OUTSIDE:
                self.block[k] = STEP
            elif any(self.block[p] != BEFORE for p in parents[k]):
                self.block[k] = AFTER
        self.keys = self._keys(record)
        self.step = np.array([max(t, 0) for _, t in places], int)
        self.steps = max((t + 1 for _, t in places), default=0)
        self.x, self.y = np.zeros(count), np.zeros(count)
        self.widths, heights = [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]
        loops = sorted({loop for loop, _ in places if loop >= 0})
        for loop in loops:  # one below the other, at the same time in the same column
            members = [k for k in range(count) if places[k][0] == loop]
            width, height = self._arrange(members, parents, places)
            self.y[members] += heights[STEP]
            heights[STEP] += height + 1
            self.widths[STEP] = max(self.widths[STEP], width)
        heights[STEP] -= bool(loops)
        for block in (BEFORE, AFTER):
            members = np.flatnonzero(self.block == block).tolist()
            rows = max(MOST_ROWS, int(heights[STEP]))
            self.widths[block], heights[block] = self._arrange(members, parents, places, rows)
        self.rows = max(heights)
        for block in range(3):
            self.y[self.block == block] += (self.rows - heights[block]) / 2

    @staticmethod
    def _keys(record: Record) -> np.ndarray:
        known: dict = {}
        seen: dict = defaultdict(int)
        keys = np.zeros(len(record.nodes), int)
        for k, (node, place) in enumerate(zip(record.nodes, record.places)):
            kind: tuple = (k,)
            if place != OUTSIDE:
                pick = type(node) is Pick
                if pick and record.places[record.index[node.inputs[0]]] == OUTSIDE:
                    alike: tuple = (place, node.inputs[0])  # what a step takes of a stack: which one is the time
                else:
                    alike = (place, node.op and node.op.name, node.site, node.params if pick else None)
                seen[alike] += 1
                kind = (place[0], *alike[1:], seen[alike])
            keys[k] = known.setdefault(kind, len(known))
        return keys

    def _arrange(self, members: list, parents: list, places: list, rows: int | None = None) -> tuple[float, float]:
        """Give the members, of one loop or one block, their x and y; returns width and height."""
        if not members:
            return 0.0, 0.0
        place = {k: (places[k], self.block[k]) for k in members}
        depth: dict[int, int] = {}
        edges: dict[int, set] = defaultdict(set)  # between keys, towards the parents
        for k in members:
            near = [p for p in parents[k] if place.get(p) == place[k]]
            depth[k] = 1 + max((depth[p] for p in near), default=-1)
            edges[self.keys[k]].update(self.keys[p] for p in near)
        level: dict[int, int] = {}
        for k in members:
            level[self.keys[k]] = max(level.get(self.keys[k], 0), depth[k])
        users: dict[int, set] = defaultdict(set)
        for key, above in edges.items():
            for p in above:
                users[p].add(key)
        for key in sorted(level, key=level.__getitem__, reverse=True):  # each stands right above what needs it
            if users[key] and (rows or not edges[key]):  # in a step only what rests on nothing in it moves
                level[key] = min(level[u] for u in users[key]) - 1
        lanes = lanes_of(level, edges, users)
        if rows:  # a block is narrow: a level of many nodes becomes several rows
            level = folded(level, lanes, 2 if self.steps else 6)
            lanes = lanes_of(level, edges, users)
        limit = rows or max(level.values()) + 1
        width, left = 0.0, 0.0
        offsets = {}
        for start in range(0, max(level.values()) + 1, limit):  # a long block goes on beside itself
            part = [lanes[key] for key in level if start <= level[key] < start + limit]
            if part:
                offsets[start // limit] = left - min(part)
                width = left + max(part) - min(part) + 1
                left = width + GAP
        for k in members:
            fold, row = divmod(level[self.keys[k]], limit)
            self.x[k], self.y[k] = lanes[self.keys[k]] + offsets[fold], row
        return width, float(min(limit, max(level.values()) + 1))


def folded(level: dict, lanes: dict, most: int) -> dict:
    """Levels with at most so many keys each."""
    made, row, taken, before = {}, -1, 0, None
    for key in sorted(level, key=lambda key: (level[key], lanes[key])):
        if level[key] != before or taken == most:
            row, taken, before = row + 1, 0, level[key]
        made[key] = row
        taken += 1
    return made


def lanes_of(level: dict, edges: dict, users: dict) -> dict:
    """A lane for each key, such that those of a level are at least one apart and each is near what it is joined to."""
    by_level: dict[int, list] = defaultdict(list)
    for key, row in level.items():
        by_level[row].append(key)
    lanes = {key: float(k) for keys in by_level.values() for k, key in enumerate(keys)}
    order = sorted(by_level)
    for sweep in range(6):
        joined, rows = (edges, order) if sweep % 2 == 0 else (users, order[::-1])
        for row in rows:
            keys = by_level[row]
            wanted = {k: mean([lanes[j] for j in joined[k]]) if joined.get(k) else lanes[k] for k in keys}
            keys.sort(key=lambda k: (wanted[k], k))
            at = -math.inf
            placed = []
            for k in keys:
                at = max(at + 1, wanted[k])
                placed.append(at)
            shift = mean([wanted[k] for k in keys]) - mean(placed)
            for k, x in zip(keys, placed):
                lanes[k] = x + shift
    return lanes


def mean(numbers: list) -> float:
    return sum(numbers) / len(numbers)
