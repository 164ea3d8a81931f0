"""`minigrad export RUN`: what a run has learnt as an ONNX model."""

import importlib
from pathlib import Path
from typing import Annotated

import typer

from minigrad import onnx
from minigrad.badinput import BadInput
from minigrad.cli.tasks import TASKS, tasks


def export(
    run: Annotated[Path, typer.Argument(help="Folder of a run.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The file to write.")] = Path("model.onnx"),
):
    """Write what a run has learnt as ONNX, for onnxruntime and others: sequences of any length, batches of any size."""
    if out.suffix != ".onnx":
        raise BadInput(f"--out {out}: wanted a name that ends in .onnx")
    try:
        onnx.require()
    except ImportError as error:
        raise BadInput(error) from error
    files, cells = [importlib.import_module(f"{TASKS}.{name}") for name in ("files", "cells")]
    arrays, settings = files.read_weights(run)
    _, task = tasks().get(settings["task"], (None, None))
    if task is None:
        raise BadInput(f"{run}: a run of {settings['task']}, which is none of the tasks {', '.join(tasks())}")
    with cells.running(settings.get("cell", "")):
        made = task(out=run, resume=True)
        files.load_weights(made.model, arrays, run)
        f, args, kwargs = made.served()
        model = onnx.export(f, args, out, kwargs)
    print(f"{out}: {model.ByteSize() / 1e6:.2f} MB")
    for word, values in (("takes", model.graph.input), ("gives", model.graph.output)):
        for value in values:
            print(f"{word} {value.name} {told(value.type.tensor_type)}")


def told(kind) -> str:
    """Dtype and shape of an input or an output."""
    from onnx import helper

    sizes = [d.dim_param or str(d.dim_value) for d in kind.shape.dim]
    return f"{helper.tensor_dtype_to_np_dtype(kind.elem_type)}[{', '.join(sizes)}]"
