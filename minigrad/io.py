"""Saving: tensors as safetensors files (no pickle), each with a checksum, written whole or not at all.

A checkpoint is such a file with everything that a run needs to go on as if it had never stopped.
"""

import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minigrad.tensor import Tensor

KEY = "minigrad"  # of our entry in a file's metadata: JSON with the checksums and the caller's metadata


def save(path, tensors: Mapping[str, Any], metadata: Any = None) -> None:
    """Write arrays or tensors, by name, and metadata (anything that JSON can hold) to a safetensors file.

    A file that is there already is replaced in one step, after the new one is safely on disk.

    Raises TypeError for what is no array of numbers or no JSON; OSError when the disk is full or the folder missing,
    and then the old file is as it was.
    """
    library = _safetensors()
    # safetensors writes the memory as it lies: wrong values, without an error, for strided and Fortran-ordered arrays
    arrays = {name: _plain(name, value) for name, value in tensors.items()}
    text = json.dumps(metadata, allow_nan=True)
    sums = {name: _checksum(array) for name, array in arrays.items()}
    entry = json.dumps({"sha256": sums, "metadata": text, "metadata_sha256": _digest(text.encode())})
    _write(Path(path), library.save(arrays, {KEY: entry}))


def load(path) -> tuple[dict[str, np.ndarray], Any]:
    """(arrays by name, metadata) of a safetensors file.

    Files of other programs have no checksums to compare and their metadata are a dict of strings, or None.

    Raises ValueError, naming the file and the tensor, for one that is damaged or no safetensors file.
    """
    library = _safetensors()
    content = Path(path).read_bytes()
    try:
        arrays = library.load(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    except Exception as error:  # the library raises its own type, and others for dtypes that NumPy lacks
        raise ValueError(f"{path} is corrupt, no safetensors file, or has a dtype that NumPy lacks: {error}") from error
    metadata = header.get("__metadata__")
    if not metadata or KEY not in metadata:
        return arrays, metadata
    try:
        entry = json.loads(metadata[KEY])
        sums, text = entry["sha256"], entry["metadata"]
        damaged = [f"tensor {name!r}" for name in {**sums, **arrays} if _checksum(arrays.get(name)) != sums.get(name)]
        damaged += ["the metadata"] if _digest(text.encode()) != entry["metadata_sha256"] else []
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is corrupt: its checksums cannot be read ({error!r})") from error
    if damaged:
        raise ValueError(f"{path} is corrupt: not what was saved: {', '.join(damaged)}")
    return {name: arrays[name] for name in sums}, json.loads(text)


def save_checkpoint(path, *, position: Mapping[str, Any] | None = None, **parts) -> None:
    """Save the parts of a run: modules, optimizers, schedules (all that has a state_dict), and NumPy generators.

        save_checkpoint("run.safetensors", model=model, optimizer=optimizer, schedule=schedule,
                        shuffling=generator, dropout=nn.default_generator, position={"epoch": 3, "batch": 17})

    position: where in the data the run is, and whatever else it wants to find again, by name: arrays, tensors (a carry,
    say) and JSON values. Errors as `save`.
    """
    arrays: dict[str, Any] = {}
    values: dict[str, dict] = {}
    for part, owner in {**parts, "position": position or {}}.items():
        values[part] = {}
        for name, value in _state(part, owner).items():
            if isinstance(value, (np.ndarray, np.generic, Tensor)):
                arrays[f"{part}/{name}"] = value
            else:
                values[part][name] = value
    save(path, arrays, {"checkpoint": values})


def load_checkpoint(path, **parts) -> dict[str, Any]:
    """Put the parts of a run, given under the names that they were saved under, back into the state that was saved.

    Returns the position, its tensors as arrays. Continued from there, a run computes bit for bit what it would have
    computed without the interruption.

    Raises ValueError for a damaged file, one that is no checkpoint, and for parts that are missing or do not fit; then
    every part is as it was.
    """
    arrays, metadata = load(path)
    if not isinstance(metadata, dict) or "checkpoint" not in metadata:
        raise ValueError(f"{path} is not a checkpoint of minigrad (load() reads any safetensors file)")
    states = metadata["checkpoint"]
    for name, array in arrays.items():
        part, _, name = name.partition("/")
        states[part][name] = array
    position = states.pop("position")
    if states.keys() != parts.keys():
        raise ValueError(f"{path} holds the parts {', '.join(states)}; wanted {', '.join(parts)}")
    before = {part: _state(part, owner) for part, owner in parts.items()}
    try:
        for part, owner in parts.items():
            _set_state(owner, states[part])
    except (ValueError, KeyError, TypeError) as error:
        for name, owner in parts.items():
            _set_state(owner, before[name])
        raise ValueError(f"{path}: {part} does not fit: {error}") from error
    return position


def _set_state(owner, state: Mapping[str, Any]) -> None:
    if isinstance(owner, np.random.Generator):
        owner.bit_generator.state = state
    else:
        owner.load_state_dict(state)


def _state(part: str, owner) -> Mapping[str, Any]:
    if isinstance(owner, np.random.Generator):
        return json.loads(json.dumps(owner.bit_generator.state, default=lambda array: array.tolist()))
    if isinstance(owner, Mapping):
        return owner
    if not hasattr(owner, "state_dict"):
        raise TypeError(f"checkpoint: {part} has no state_dict and is no NumPy generator: got {owner!r:.80}")
    return owner.state_dict()


def _plain(name: str, value) -> np.ndarray:
    """`value` as an array that owns contiguous memory, in C order and native byte order."""
    if not isinstance(name, str) or name == "__metadata__":
        raise TypeError(f"save: a tensor's name is a string, and not the reserved '__metadata__'; got {name!r}")
    array = np.asarray(value.detach() if hasattr(value, "detach") else value)
    if array.dtype.kind not in "fiub" or array.dtype.itemsize > 8:
        raise TypeError(f"save: {name!r} is {array.dtype}; wanted float, integer or bool of at most 64 bits")
    return array.astype(array.dtype.newbyteorder("="), order="C")


def _checksum(array: np.ndarray | None) -> str | None:
    """SHA-256 of an array's dtype, shape and bytes."""
    if array is None:
        return None
    little_endian = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return _digest(f"{array.dtype.name} {array.shape} ".encode() + little_endian.tobytes())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _write(path: Path, content: bytes) -> None:
    """Replace a file in one step: whoever reads it, and whenever the power fails, finds the old content or the new."""
    path = path.resolve()  # a link keeps pointing where it does
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        try:
            with open(temporary, "xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise OSError(error.errno, f"cannot write {path} ({error.strerror}); what was there is unchanged") from error


def _safetensors():
    try:
        import safetensors.numpy
    except ImportError as error:
        raise ImportError("saving wants the safetensors package: pip install minigrad[io]") from error
    return safetensors.numpy
