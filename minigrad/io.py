"""Saving: tensors as safetensors files (no pickle), each with a checksum, written whole or not at all.

A checkpoint is such a file with everything that a run needs to go on as if it had never stopped.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from minigrad import disk
from minigrad.arguments import checked
from minigrad.exchange import array_of
from minigrad.tensor import Tensor

PathLike = str | os.PathLike[str]

__all__ = ["load", "load_checkpoint", "save", "save_checkpoint"]
PYTORCH = b"PK\x03\x04", b"\x80\x02\x8a\x0a"  # how files of torch.save begin; the second until version 1.5
DTYPES = {"BOOL": "?", "F16": "<f2", "F32": "<f4", "F64": "<f8"} | {
    f"{kind}{8 * size}": f"<{kind.lower()}{size}" for kind in "IU" for size in (1, 2, 4, 8)
}  # by safetensors' names
KEY = "minigrad"  # of our entry in a file's metadata: JSON with the checksums and the caller's metadata
HEADER = 100_000_000  # bytes of the longest header that safetensors reads
DEEPEST = 100  # lists and dicts within each other: Python's own limit depends on how deep the caller is
TOO_DEEP = f"lists and dicts lie more than {DEEPEST} deep in each other"


@checked
def save(path: PathLike, tensors: Mapping[str, Any], metadata: Any = None) -> None:
    """Write arrays or tensors to a safetensors file.

    A file that is there already is replaced in one step, after the new one is safely on disk.

    Parameters
    ----------
    path
        Of the file.
    tensors
        Arrays or tensors, by name.
    metadata
        Anything that JSON can hold.

    Raises
    ------
    TypeError
        For what is no array of numbers or no JSON.
    ValueError
        For JSON of which lists and dicts lie more than 100 deep in each other.
    OSError
        When the disk is full or the folder missing, and then the old file is as it was.

    Examples
    --------
    >>> mg.io.save("weights.safetensors", {"w": np.ones(3)}, metadata={"epoch": 2})
    >>> mg.io.load("weights.safetensors")
    ({'w': array([1., 1., 1.])}, {'epoch': 2})
    """
    library = _safetensors()
    # safetensors writes the memory as it lies: wrong values, without an error, for strided and Fortran-ordered arrays
    arrays = {name: _plain(name, value) for name, value in tensors.items()}
    text = json_text(metadata)
    sums = {name: _checksum(array) for name, array in arrays.items()}
    entry = json.dumps({"sha256": sums, "metadata": text, "metadata_sha256": _digest(text.encode())})
    disk.replace(path, library.save(arrays, {KEY: entry}))


@checked
def load(path: PathLike) -> tuple[dict[str, np.ndarray], Any]:
    """What is in a safetensors file, or in one that `torch.save` has written.

    Files of other programs have no checksums to compare and their metadata are a dict of strings, or None. What they
    hold in bfloat16 or float16 comes as float32. A file of PyTorch's is read by PyTorch, which has to be installed,
    with weights_only=True, so that it runs no code; tensors within dicts and lists are named by the path to them, as in
    "model.layers.0.weight", and so are other values, which are the metadata.

    Parameters
    ----------
    path
        Of the file.

    Returns
    -------
    (arrays by name, metadata)

    Raises
    ------
    ValueError
        Naming the file and the tensor, for one that is damaged or of another kind.
    OSError
        For what cannot be read or is no regular file.

    Examples
    --------
    >>> mg.io.save("means.safetensors", {"mean": mg.zeros(2)})
    >>> arrays, metadata = mg.io.load("means.safetensors")
    >>> arrays["mean"].tolist(), metadata
    ([0.0, 0.0], None)
    """
    with disk.opened(path, disk.TENSORS) as (file, _):
        if file.read(4) in PYTORCH:
            file.seek(0)
            return _of_pytorch(path, file)
    library = _safetensors()
    content = _content(path)
    try:
        arrays = {name: _array(view) for name, view in library.deserialize(content)}
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    except Exception as error:  # the library raises its own type, and others for dtypes that NumPy lacks
        raise ValueError(f"{path} is corrupt, no safetensors file, or has a dtype that NumPy lacks: {error}") from error
    metadata = header.get("__metadata__")
    if not metadata or KEY not in metadata:
        return {name: x.astype("float32") if x.dtype == np.float16 else x for name, x in arrays.items()}, metadata
    try:
        entry = json_value(metadata[KEY])
        sums, text = entry["sha256"], entry["metadata"]
        damaged = [f"tensor {name!r}" for name in {**sums, **arrays} if not _intact(arrays.get(name), sums.get(name))]
        damaged += ["the metadata"] if _digest(text.encode()) != entry["metadata_sha256"] else []
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is corrupt: its checksums cannot be read ({error!r})") from error
    if damaged:
        raise ValueError(f"{path} is corrupt: not what was saved: {', '.join(damaged)}")
    try:
        return {name: arrays[name] for name in sums}, json_value(text)
    except ValueError as error:
        raise ValueError(f"{path} is corrupt: its metadata are no JSON that can be read: {error}") from error


def _array(view: Mapping[str, Any]) -> np.ndarray:
    """An array as safetensors describes it; of bfloat16, which NumPy lacks and which is half of float32, as that."""
    if view["dtype"] == "BF16":
        bits = np.frombuffer(view["data"], "<u2").astype(np.uint32) << 16
        return bits.view(np.float32).reshape(view["shape"])
    return np.frombuffer(view["data"], DTYPES[view["dtype"]]).reshape(view["shape"])


def _of_pytorch(path, file) -> tuple[dict[str, np.ndarray], dict[str, Any] | None]:
    """As `load`, of a file that `torch.save` has written."""
    try:
        import torch
    except ImportError as error:
        raise ImportError(f"{path} is a file of PyTorch's, which has to be installed to read it: {error}") from error
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
        found: dict[str, Any] = {}
        for name, value in _named(state):
            if found.setdefault(name, value) is not value:
                raise ValueError(f"two values are called {name!r}")
        is_tensor = {name: isinstance(value, torch.Tensor) for name, value in found.items()}
        narrow = (torch.float16, torch.bfloat16)
        arrays = {
            name: array_of(found[name].float() if found[name].dtype in narrow else found[name])
            for name in found if is_tensor[name]
        }  # fmt: skip
    except Exception as error:  # PyTorch raises many types
        raise ValueError(
            f"{path} is corrupt, or holds what PyTorch does not read without running code: {error}"
        ) from error
    return arrays, {name: value for name, value in found.items() if not is_tensor[name]} or None


def _named(value, name: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of nested dicts and lists, with the path to each."""
    if isinstance(value, (dict, list, tuple)):
        pairs: Iterable = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in pairs:
            yield from _named(inner, f"{name}.{key}" if name else str(key))
    else:
        yield name, value


def _content(path) -> bytes:
    """Bytes of a safetensors file: its header, and as much after it as it tells of, and a byte more if there is one."""
    with disk.opened(path, disk.TENSORS) as (file, status):
        start = file.read(8)
        start += file.read(min(int.from_bytes(start, "little"), HEADER))
        try:
            entries = [entry for name, entry in json.loads(start[8:]).items() if name != "__metadata__"]
            end = max([entry["data_offsets"][1] for entry in entries], default=0)
            return start + file.read(max(0, min(end, status.st_size)) + 1)
        except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
            return start  # of which the library says what is wrong


def json_text(value) -> str:
    """`value` as JSON. Raises TypeError for what JSON cannot hold, ValueError for what is too deep."""
    try:
        text = json.dumps(value, allow_nan=True)
    except RecursionError:
        raise ValueError(TOO_DEEP) from None
    json_value(text)
    return text


def json_value(text: str):
    """The value of a JSON text. Raises ValueError for what is none, or too deep."""
    try:
        level = [json.loads(text)]
    except RecursionError:
        raise ValueError(TOO_DEEP) from None
    (value,) = level
    for _ in range(DEEPEST + 1):
        inner = [part for part in level if isinstance(part, (list, dict))]
        if not inner:
            return value
        level = [x for part in inner for x in (part.values() if isinstance(part, dict) else part)]
    raise ValueError(TOO_DEEP)


@checked
def save_checkpoint(path: PathLike, *, position: Mapping[str, Any] | None = None, **parts: Any) -> None:
    """Save the parts of a run: modules, optimizers, schedules (all that has a state_dict), and NumPy generators.

        save_checkpoint("run.safetensors", model=model, optimizer=optimizer, schedule=schedule,
                        shuffling=generator, dropout=nn.default_generator, position={"epoch": 3, "batch": 17})

    position: where in the data the run is, and whatever else it wants to find again, by name: arrays, tensors (a carry,
    say) and JSON values. Errors as `save`.

    Examples
    --------
    >>> model = nn.Linear(2, 1)
    >>> mg.io.save_checkpoint("run.safetensors", model=model, position={"epoch": 3})
    >>> mg.io.load_checkpoint("run.safetensors", model=nn.Linear(2, 1))
    {'epoch': 3}
    """
    arrays: dict[str, Any] = {}
    values: dict[str, dict] = {}
    for part, owner in {**parts, "position": position or {}}.items():
        values[part] = {}
        for name, value in state_of(part, owner).items():
            if isinstance(value, (np.ndarray, np.generic, Tensor)):
                arrays[f"{part}/{name}"] = value
            else:
                values[part][name] = value
    save(path, arrays, {"checkpoint": values})


@checked
def load_checkpoint(path: PathLike, **parts: Any) -> dict[str, Any]:
    """Put the parts of a run, given under the names that they were saved under, back into the state that was saved.

    Returns the position, its tensors as arrays. Continued from there, a run computes bit for bit what it would have
    computed without the interruption.

    Raises ValueError for a damaged file, one that is no checkpoint, and for parts that are missing or do not fit; then
    no part has been changed. All is checked before anything is set: a part that has a method
    check_state_dict(state), as ours have, raises there; one that raises only in load_state_dict makes those that were
    set before it be set back.

    Examples
    --------
    >>> model, other = nn.Linear(2, 1), nn.Linear(2, 1)
    >>> mg.io.save_checkpoint("best.safetensors", model=model)
    >>> position = mg.io.load_checkpoint("best.safetensors", model=other)
    >>> bool((other.weight == model.weight).all()), position
    (True, {})
    """
    arrays, metadata = load(path)
    states = _states(path, arrays, metadata)
    position = states.pop("position")
    if states.keys() != parts.keys():
        raise ValueError(f"{path} holds the parts {', '.join(states)}; wanted {', '.join(parts)}")
    before = {part: state_of(part, owner) for part, owner in parts.items()}
    done: list[str] = []
    try:
        for part, owner in parts.items():
            _check_state(owner, states[part])
        for part, owner in parts.items():
            done.append(part)
            set_state(owner, states[part])
    except BaseException as error:
        for name in done:
            with contextlib.suppress(Exception):  # of the one that raised: it may refuse its own state as well
                set_state(parts[name], before[name])
        if not isinstance(error, Exception):
            raise
        raise ValueError(f"{path}: {part} does not fit: {error}") from error
    return position


def _states(path, arrays: Mapping[str, np.ndarray], metadata) -> dict[str, dict[str, Any]]:
    """What a checkpoint holds of each part, by name. Raises ValueError for what `save_checkpoint` does not write."""
    if not isinstance(metadata, dict) or "checkpoint" not in metadata:
        raise ValueError(f"{path} is not a checkpoint of minigrad (load() reads any safetensors file)")
    states = metadata["checkpoint"]
    if not isinstance(states, dict) or not all(isinstance(state, dict) for state in states.values()):
        raise ValueError(f"{path} is not a checkpoint of minigrad: wanted a dict for each part of the run")
    if "position" not in states:
        raise ValueError(f"{path} is not a checkpoint of minigrad: it has no position")
    for key, array in arrays.items():
        part, _, name = key.partition("/")
        if part not in states or name in states[part]:
            raise ValueError(f"{path} is not a checkpoint of minigrad: tensor {key!r} is of no part, or there twice")
        states[part][name] = array
    return states


def _check_state(owner, state: Mapping[str, Any]) -> None:
    """Raise if a state is not one of this owner, as far as can be told without setting it."""
    if isinstance(owner, np.random.Generator):
        _check_generator(owner, state)
    elif hasattr(owner, "check_state_dict"):
        owner.check_state_dict(state)


# Where NumPy reads memory at an index that it takes from the state without looking at it.
POSITIONS = {"MT19937": ("state", "pos", 624), "Philox": ("", "buffer_pos", 4)}


def _check_generator(generator: np.random.Generator, state: Mapping[str, Any]) -> None:
    trial = type(generator.bit_generator)()
    trial.state = state
    if _generator_state(trial) != state or state.get("has_uint32", 0) not in (0, 1):
        raise ValueError(f"not a state of {type(trial).__name__}: {state!r:.200}")
    where, name, most = POSITIONS.get(type(trial).__name__, ("", "", 0))
    if name and not 0 <= (state[where] if where else state)[name] <= most:
        raise ValueError(f"{name} of {type(trial).__name__}: wanted 0 to {most}, got {state!r:.200}")


def set_state(owner, state: Mapping[str, Any]) -> None:
    """Put a part of a run back into a state that `state_of` gave."""
    if isinstance(owner, np.random.Generator):
        owner.bit_generator.state = state
    else:
        owner.load_state_dict(state)


def state_of(part: str, owner) -> Mapping[str, Any]:
    """The state of a part of a run, called `part`. Raises TypeError for what has none."""
    if isinstance(owner, np.random.Generator):
        return _generator_state(owner.bit_generator)
    if isinstance(owner, Mapping):
        return owner
    if not hasattr(owner, "state_dict"):
        raise TypeError(f"checkpoint: {part} has no state_dict and is no NumPy generator: got {owner!r:.80}")
    return owner.state_dict()


def _generator_state(bits: np.random.BitGenerator) -> dict[str, Any]:
    return json.loads(json.dumps(bits.state, default=lambda array: array.tolist()))


def _plain(name: str, value) -> np.ndarray:
    """`value` as an array that owns contiguous memory, in C order and native byte order."""
    if not isinstance(name, str) or name == "__metadata__":
        raise TypeError(f"save: a tensor's name is a string, and not the reserved '__metadata__'; got {name!r}")
    array = array_of(value)
    if array.dtype.kind not in "fiub" or array.dtype.itemsize > 8:
        raise TypeError(f"save: {name!r} is {array.dtype}; wanted float, integer or bool of at most 64 bits")
    return array.astype(array.dtype.newbyteorder("="), order="C")


def _checksum(array: np.ndarray) -> str:
    """SHA-256 of an array's dtype, shape and bytes."""
    little_endian = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return _digest(f"{array.dtype.name} {array.shape} ".encode() + little_endian.tobytes())


def _intact(array: np.ndarray | None, checksum) -> bool:
    return array is not None and _checksum(array) == checksum


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _safetensors():
    try:
        import safetensors.numpy
    except ImportError as error:
        raise ImportError("saving wants the safetensors package: pip install 'minigrad-rnn[io]'") from error
    return safetensors.numpy
