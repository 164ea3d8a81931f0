"""What rounding products to bfloat16 does to training: held-out losses beside those of float32, a Markdown table.

    python benchmarks/precision.py [--steps 1000] [--seeds 2] [--text FILE]

The character model (LSTM of 256, T = 64, B = 32) and the adding problem (LSTM of 64, T = 200, B = 64) are trained by
`minigrad train`'s own tasks, from the same weights on the same batches; figures are means over the seeds, and in
brackets how far the seeds are apart. The last column: how far the two are apart for the same seed, in the mean.
"""

import argparse
import contextlib
import os
import tempfile
from pathlib import Path

import minigrad as mg
from minigrad.models.tasks.adding import Adding
from minigrad.models.tasks.charlm import CharacterTask

PRECISIONS = (None, "bfloat16")


def losses(task: type, options: dict, precision: str | None) -> dict[int, float]:
    """Held-out loss by step."""
    with tempfile.TemporaryDirectory() as folder, open(os.devnull, "w") as nowhere:
        run = task(out=Path(folder) / "run", **options)
        run.loss_of = mg.jit(run.loss, precision=precision)
        with contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
            run.run()
        lines = (Path(folder) / "run" / "log.csv").read_text().splitlines()
    rows = [dict(zip(lines[0].split(","), line.split(","))) for line in lines[1:]]
    return {int(row["step"]): float(row["held_out_loss"]) for row in rows}


def told(values: list[float]) -> str:
    return f"{sum(values) / len(values):.4f} ({max(values) - min(values):.4f})"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--text", type=Path, help="of the character model; by default Python's standard library")
    options = parser.parse_args()
    text = {} if options.text is None else {"text": options.text}
    jobs = {"character model, nats": (CharacterTask, text), "adding, squared error": (Adding, {})}
    print("| task | step | float32 | bfloat16 | apart |\n|---|---|---|---|---|")
    for name, (task, more) in jobs.items():
        given = {"steps": options.steps, "every": options.steps // 4, **more}
        found = [
            [losses(task, {**given, "seed": seed}, precision) for seed in range(options.seeds)]
            for precision in PRECISIONS
        ]
        for step in found[0][0]:
            full, rounded = [[run[step] for run in runs] for runs in found]
            apart = sum(abs(a - b) for a, b in zip(full, rounded)) / options.seeds
            print(f"| {name} | {step:,} | {told(full)} | {told(rounded)} | {apart:.4f} |", flush=True)


if __name__ == "__main__":
    main()
