"""What a run has done so far, as its checkpoint keeps it."""

import math
from collections.abc import Mapping
from typing import Any


class Record:
    """Steps done, seconds in them, the first loss, the losses since the last evaluation, and a row an evaluation.

    steps: of the whole run. figures: what every row must have, as finite numbers.
    """

    def __init__(self, steps: int, figures: tuple[str, ...]):
        self.steps, self.figures = steps, {"step", "loss", *figures}
        self.done, self.seconds = 0, 0.0
        self.first: float | None = None
        self.losses: list[float] = []
        self.rows: list[dict[str, Any]] = []

    def state_dict(self) -> dict[str, Any]:
        own = {"step": self.done, "seconds": self.seconds, "first": self.first}
        return {**own, "losses": list(self.losses), "rows": list(self.rows)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.check_state_dict(state)
        self.done, self.seconds, self.first = state["step"], state["seconds"], state["first"]
        self.losses, self.rows = list(state["losses"]), list(state["rows"])

    def check_state_dict(self, state: Mapping[str, Any]) -> None:
        """Raise ValueError for what `state_dict` does not return."""
        step, seconds, first, losses, rows = map(state.get, ("step", "seconds", "first", "losses", "rows"))
        if not (state.keys() == self.state_dict().keys() and is_count(step) and is_number(seconds, least=0)):
            raise ValueError(f"step {step!r:.50} or seconds {seconds!r:.50} is not that of a run")
        if not (isinstance(losses, list) and all(map(is_number, losses)) and (first is None or is_number(first))):
            raise ValueError(f"its losses are not those of a run: {first!r:.50}, {losses!r:.50}")
        if not isinstance(rows, list) or (not rows and is_number(step, least=self.steps)):
            raise ValueError(f"its rows are not those of a run: {rows!r:.50}")
        for row in rows:
            if not isinstance(row, dict) or not self.figures <= row.keys() == rows[0].keys():
                raise ValueError(f"a row is not one of a run: {row!r:.100}")
            finite = all(is_number(row[name]) for name in self.figures)
            if not (finite and is_count(row["step"]) and all(isinstance(x, (int, float)) for x in row.values())):
                raise ValueError(f"a row is not one of a run: {row!r:.100}")


def is_count(x) -> bool:
    return isinstance(x, int) and not isinstance(x, bool) and x >= 0


def is_number(x, least: float = -math.inf) -> bool:
    return isinstance(x, (int, float)) and not isinstance(x, bool) and abs(x) < math.inf and x >= least
