"""Files: what is saved comes back, what is damaged is noticed, and a run can be stopped and resumed."""

import json
import os
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minigrad as mg
from minigrad import io, nn, optim
from minigrad.mutations import mutations

safetensors = pytest.importorskip("safetensors.numpy")

DTYPES = (
    ["bool"]
    + [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
    + ["float16", "float32", "float64"]
)
LAYOUTS = {
    "C": lambda a: a,
    "Fortran": np.asfortranarray,
    "transposed": lambda a: a.T,
    "reversed": lambda a: a[::-1] if a.ndim else a,
    "every other": lambda a: a[..., ::2] if a.ndim else a,
    "broadcast": lambda a: np.broadcast_to(a, (2, *a.shape)),
    "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "unaligned": lambda a: np.frombuffer(b"x" + a.tobytes(), a.dtype, a.size, 1).reshape(a.shape) if a.size else a,
}
arrays = st.builds(
    lambda array, layout: LAYOUTS[layout](array),
    st.sampled_from(DTYPES).flatmap(
        lambda d: hnp.arrays(d, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
    ),
    st.sampled_from(sorted(LAYOUTS)),
)
names = st.text(max_size=8).filter(lambda name: name != "__metadata__")
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


def same(a, b):
    return a.shape == b.shape and a.dtype == b.dtype.newbyteorder("=") and a.tobytes() == b.astype(a.dtype).tobytes()


@given(tensors=st.dictionaries(names, arrays, max_size=4), metadata=values)
def test_round_trip(tmp_path_factory, tensors, metadata):
    path = tmp_path_factory.mktemp("io") / "file.safetensors"
    io.save(path, tensors, metadata)
    loaded, back = io.load(path)
    assert list(loaded) == list(tensors) and back == metadata
    assert all(same(loaded[name], array) for name, array in tensors.items())
    assert all(array.flags.writeable for array in loaded.values())
    other = safetensors.load_file(path)  # another program's reader sees the same values
    assert other.keys() == tensors.keys() and all(same(other[name], array) for name, array in tensors.items())
    assert os.listdir(path.parent) == [path.name]


def test_tensors_of_ours_and_of_pytorch(torch, tmp_path):
    x = np.arange(6.0).reshape(2, 3)
    tensors = {"ours": nn.Parameter(x).T, "theirs": torch.nn.Parameter(torch.tensor(x)).T}
    io.save(tmp_path / "f", tensors)
    loaded, metadata = io.load(tmp_path / "f")
    assert metadata is None
    assert all(same(loaded[name], x.T) for name in tensors)


def damaged_loads(path, content, original):
    """Whether a damaged file still loads; then what it holds must be right."""
    path.write_bytes(content)
    try:
        loaded, _ = io.load(path)
    except ValueError as error:
        assert str(path) in str(error)
        return False
    assert loaded.keys() == original.keys() and all(same(loaded[name], original[name]) for name in original)
    return True


def test_every_damaged_byte_is_noticed(tmp_path):
    original = {"a": np.arange(5, dtype="float32"), "b": np.array([True, False, True]), "c": np.zeros((2, 0))}
    path = tmp_path / "file"
    io.save(path, original, {"step": 3})
    content = path.read_bytes()
    payload = 8 + int.from_bytes(content[:8], "little")
    assert len(content) - payload == 5 * 4 + 3
    for place in range(len(content)):
        for bit in range(8) if place >= payload else [place % 8]:
            flipped = bytearray(content)
            flipped[place] ^= 1 << bit
            if damaged_loads(path, bytes(flipped), original):
                # only where the header says the same in other bytes, or where our mark is gone: never in the payload
                assert place < payload
                with pytest.raises(ValueError, match="not a checkpoint"):
                    io.load_checkpoint(path)
    flipped = bytearray(content)
    flipped[payload] ^= 1
    path.write_bytes(flipped)
    with pytest.raises(ValueError, match=r"file is corrupt: .* tensor '[abc]'(\n|$)"):
        io.load(path)


def test_truncated_and_extended_files_are_noticed(tmp_path):
    original = {"a": np.arange(5.0), "b": np.ones((2, 2), "float32")}
    path = tmp_path / "file"
    io.save(path, original)
    content = path.read_bytes()
    assert damaged_loads(path, content, original)
    for size in range(len(content)):
        assert not damaged_loads(path, content[:size], original)
    assert not damaged_loads(path, content + b"\0", original)


def test_a_file_is_read_as_far_as_its_header_tells(tmp_path):
    """A file of 30 GB, all of it a hole, costs neither memory nor time."""
    path = tmp_path / "file"
    io.save(path, {"a": np.arange(5.0)})
    header = path.read_bytes()[:-40]
    for start in (b"", header, header.replace(b"[0,40]", b"[0, 4]"), header.replace(b"[0,40]", b"[0,-9]")):
        with open(path, "wb") as file:
            file.write(start)
            file.truncate(30 << 30)
        with pytest.raises(ValueError, match="file is corrupt, no safetensors file"):
            io.load(path)


def test_a_changed_tensor_or_metadata_is_named(tmp_path):
    path = tmp_path / "file"
    io.save(path, {"good": np.ones(2), "bad": np.ones(2)}, {"step": 3})
    header = json.loads(path.read_bytes()[8 : 8 + int.from_bytes(path.read_bytes()[:8], "little")])
    entry = json.loads(header["__metadata__"]["minigrad"])
    for tensors, text, named in [
        ({"good": np.ones(2), "bad": np.zeros(2)}, entry["metadata"], "tensor 'bad'"),
        ({"good": np.ones(2), "bad": np.ones((1, 2))}, entry["metadata"], "tensor 'bad'"),
        ({"good": np.ones(2), "bad": np.ones(2).view("int64")}, entry["metadata"], "tensor 'bad'"),
        ({"good": np.ones(2)}, entry["metadata"], "tensor 'bad'"),
        ({"good": np.ones(2), "bad": np.ones(2), "more": np.ones(1)}, entry["metadata"], "tensor 'more'"),
        ({"good": np.ones(2), "bad": np.ones(2)}, '{"step": 4}', "the metadata"),
    ]:
        safetensors.save_file(tensors, path, {"minigrad": json.dumps({**entry, "metadata": text})})
        with pytest.raises(ValueError, match=f"file is corrupt: not what was saved: {named}(\\n|$)"):
            io.load(path)
    for broken in ("", "[]", "{}", "null", json.dumps({**entry, "sha256": 3}), json.dumps({**entry, "metadata": 3})):
        safetensors.save_file({}, path, {"minigrad": broken})
        with pytest.raises(ValueError, match="checksums cannot be read"):
            io.load(path)


def test_foreign_files(tmp_path):
    path = tmp_path / "file"
    safetensors.save_file({"w": np.ones(2)}, path)
    assert io.load(path)[1] is None
    safetensors.save_file({"w": np.ones(2)}, path, {"format": "pt"})
    loaded, metadata = io.load(path)
    assert same(loaded["w"], np.ones(2)) and metadata == {"format": "pt"}
    with pytest.raises(ValueError, match="file is not a checkpoint"):
        io.load_checkpoint(path)
    rng = np.random.default_rng(0)
    for content in (b"", b"text, not tensors\n" * 9, rng.bytes(4096), b"\x80\x04\x95" + bytes(64), b"\xff" * 16):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="file is corrupt, no safetensors file"):
            io.load(path)
    with pytest.raises(FileNotFoundError):
        io.load(tmp_path / "missing")


def test_what_cannot_be_saved(tmp_path):
    path = tmp_path / "file"
    for tensors, message in [
        ({"a": np.array(["text"])}, "'a' is <U4"),
        ({"a": np.array([1j])}, "'a' is complex128"),
        ({"a": np.array([object()])}, "'a' is object"),
        ({3: np.ones(1)}, "name is a string"),
        ({"__metadata__": np.ones(1)}, "reserved"),
    ]:
        with pytest.raises(TypeError, match=message):
            io.save(path, tensors)
    with pytest.raises(TypeError, match="JSON"):
        io.save(path, {}, {"generator": np.random.default_rng()})
    assert not path.exists()


def test_a_full_disk_leaves_the_old_file(tmp_path):
    resource = pytest.importorskip("resource")  # a limit on the size of files stands for the end of the disk
    path = tmp_path / "file"
    io.save(path, {"a": np.arange(3.0)})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(OSError, match=r"cannot write .*file .*; what was there is unchanged"):
            io.save(path, {"a": np.zeros(10_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert same(io.load(path)[0]["a"], np.arange(3.0))
    assert os.listdir(tmp_path) == ["file"]
    with pytest.raises(FileNotFoundError, match="cannot write"):
        io.save(tmp_path / "nowhere" / "file", {})


def test_an_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file"
    io.save(path, {"a": np.arange(3.0)})

    def interrupted(descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        io.save(path, {"a": np.zeros(3)})
    assert same(io.load(path)[0]["a"], np.arange(3.0))
    assert os.listdir(tmp_path) == ["file"]


def test_a_link_is_written_through(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "target")
    io.save(tmp_path / "link", {"a": np.ones(1)})
    assert (tmp_path / "link").is_symlink() and (tmp_path / "target").is_file()


def test_the_extra_is_named_where_it_is_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    with pytest.raises(ImportError, match=r"pip install .minigrad-rnn\[io\]"):
        io.save(tmp_path / "file", {})


# Checkpoints


@pytest.mark.parametrize("bits", ["PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64"])
def test_generators_go_on(tmp_path, bits):
    def draw(rng):
        return [rng.integers(100, size=3, dtype=np.int8), rng.random(3), rng.standard_normal(3, dtype=np.float32)]

    def make(seed):
        return np.random.Generator(getattr(np.random, bits)(seed))

    rng = make(1)
    draw(rng)
    rng.integers(9, dtype=np.uint8)
    io.save_checkpoint(tmp_path / "file", noise=rng)
    wanted = draw(rng)
    resumed = make(2)
    assert io.load_checkpoint(tmp_path / "file", noise=resumed) == {}
    for a, b in zip(wanted, draw(resumed)):
        np.testing.assert_array_equal(a, b)


class Run:
    """A training run with everything that has a state: dropout, Adam, a schedule, shuffling, a carry."""

    def __init__(self, seed, rate):
        rng = np.random.default_rng(0)
        self.x, self.y = rng.normal(size=(40, 5)).astype("float32"), rng.normal(size=(40, 2)).astype("float32")
        weights = np.random.default_rng(seed)
        nn.manual_seed(seed)
        self.shuffling = np.random.default_rng(seed + 1)
        self.noise = np.random.default_rng(seed + 2)
        self.model = nn.Sequential(
            nn.Linear(5, 8, generator=weights), mg.tanh, nn.Dropout(0.3, generator=self.noise), nn.Dropout(0.1),
            nn.Linear(8, 2, generator=weights),
        )  # fmt: skip
        self.optimizer = optim.Adam(self.model.parameters(), lr=rate)
        self.schedule = optim.Schedule(self.optimizer, optim.warmup(3, optim.cosine(20)))
        carry = mg.tensor(np.zeros(2, "float32"))
        self.position = {"batch": 0, "order": self.shuffling.permutation(40), "carry": carry}
        self.parts = {
            "model": self.model, "optimizer": self.optimizer, "schedule": self.schedule, "shuffling": self.shuffling,
            "noise": self.noise, "default_noise": nn.default_generator,
        }  # fmt: skip

    def train(self, steps):
        losses = []
        for _ in range(steps):
            batch, order = self.position["batch"], self.position["order"]
            rows = order[8 * batch : 8 * batch + 8]
            out = self.model(mg.tensor(self.x[rows])) + self.position["carry"]
            loss = ((out - self.y[rows]) ** 2).sum()
            self.model.zero_grad()
            loss.backward()
            optim.clip_grad_norm(self.model.parameters(), 1.0)
            self.optimizer.step()
            self.schedule.step()
            losses.append(loss.item())
            self.position = {"batch": (batch + 1) % 5, "order": order, "carry": out.detach().sum(0) * 0.01}
            if batch == 4:
                self.position["order"] = self.shuffling.permutation(40)
        return losses

    def state(self):
        arrays = {**self.model.state_dict(), **self.optimizer.state_dict(), "carry": self.position["carry"]}
        return {name: np.asarray(value).tobytes() for name, value in arrays.items()}


@pytest.mark.parametrize("stop", [0, 1, 7, 10])
def test_a_run_that_is_resumed_is_the_run(tmp_path, stop):
    whole = Run(seed=1, rate=0.05)
    wanted = whole.train(14)
    stopped = Run(seed=1, rate=0.05)
    losses = stopped.train(stop)
    io.save_checkpoint(tmp_path / "file", position=stopped.position, **stopped.parts)
    resumed = Run(seed=99, rate=3.0)
    resumed.position = io.load_checkpoint(tmp_path / "file", **resumed.parts)
    assert losses + resumed.train(14 - stop) == wanted
    assert resumed.state() == whole.state()


def test_parts_that_do_not_fit(tmp_path):
    path = tmp_path / "file"
    run = Run(seed=1, rate=0.1)
    run.train(2)
    io.save_checkpoint(path, position=run.position, **run.parts)
    with pytest.raises(ValueError, match=r"holds the parts model, optimizer, .*; wanted model(\n|$)"):
        io.load_checkpoint(path, model=run.model)
    other = Run(seed=2, rate=0.1)
    other.train(1)
    before = other.state()
    wrong = {**other.parts, "noise": np.random.Generator(np.random.MT19937(0))}
    with pytest.raises(ValueError, match=r"file: noise does not fit: .*MT19937"):
        io.load_checkpoint(path, **wrong)
    assert other.state() == before
    with pytest.raises(ValueError, match=r"file: model does not fit: .*missing: weight"):
        io.load_checkpoint(path, **{**other.parts, "model": nn.Linear(5, 8)})
    with pytest.raises(TypeError, match="things has no state_dict"):
        io.save_checkpoint(path, things=[1, 2])


# Checkpoints that are whole and wrong


class Whole:
    """The parts of a run whose states are of every kind; and a checkpoint of it, as arrays and JSON."""

    def __init__(self, seed):
        self.model = nn.Linear(3, 2, generator=np.random.default_rng(seed))
        self.adam = optim.Adam(self.model.parameters(), lr=0.1)
        self.schedule = optim.Schedule(self.adam, optim.warmup(3, optim.exponential(0.9)))
        self.sgd = optim.SGD(self.model.parameters(), lr=0.2, momentum=0.5)
        self.plateau = optim.ReduceOnPlateau(self.sgd)
        self.bits = [getattr(np.random, bits)(seed) for bits in ("PCG64", "MT19937", "Philox", "SFC64")]
        self.parts = {"model": self.model, "adam": self.adam, "schedule": self.schedule, "sgd": self.sgd}
        self.parts |= {"plateau": self.plateau, **{type(b).__name__: np.random.Generator(b) for b in self.bits}}
        for step in range(seed):
            self.model(mg.tensor(np.ones((1, 3), "float32"))).sum().backward()
            self.adam.step()
            self.sgd.step()
            self.schedule.step()
            self.plateau.step(1.0 + step)
            for part in self.parts.values():
                if isinstance(part, np.random.Generator):
                    part.integers(9, size=3, dtype=np.uint8)

    def state(self):
        states = [self.adam.lr, self.sgd.lr, *[json.dumps(b.state, default=np.ndarray.tolist) for b in self.bits]]
        for owner in (self.model, self.adam, self.schedule, self.sgd, self.plateau):
            states += [v.tobytes() if isinstance(v, np.ndarray) else v for v in owner.state_dict().values()]
        return repr(states)


def forge(path, tensors, text):
    """A file as `save` writes it, checksums and all, around a metadata text of ours."""
    io.save(path, tensors, None)
    content = path.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    entry = json.loads(header["__metadata__"]["minigrad"])
    entry |= {"metadata": text, "metadata_sha256": io._digest(text.encode())}
    plain = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    safetensors.save_file(plain, path, {"minigrad": json.dumps(entry)})


def places(value, path=()):
    """The path to every value in a tree of lists and dicts, but for those in long lists."""
    inner = value.items() if isinstance(value, dict) else enumerate(value[:3]) if isinstance(value, list) else ()
    return [path] + [place for key, part in inner for place in places(part, (*path, key))]


def deep(levels):
    return json.loads("[" * levels + "]" * levels)


junk = st.sampled_from(
    [None, True, -1, 0, 7, 625, 2**32, 2**64, 10**400, 1.5, -0.0, float("nan"), float("inf"), "", "x"]
)
junk |= st.builds(deep, st.sampled_from([1, 3, 90, 150])) | values
junk_arrays = st.sampled_from([
    np.zeros(()), np.array(np.nan), np.array(-1.0), np.full((2, 3), np.nan), np.zeros((2, 3), "int64"),
    np.ones(2, bool), np.array([-1, -1]), np.array([2, 3]), np.array([2.5, 3.5]),
    np.zeros((2, 3, 1), "float32"), np.zeros(0),
])  # fmt: skip


@st.composite
def wrong(draw, tensors, tree):
    """The tensors and the JSON of a checkpoint with one to three changes, of which some change nothing that matters."""
    tensors, tree = dict(tensors), {"": json.loads(json.dumps(tree))}
    for _ in range(draw(st.integers(1, 3))):
        if draw(st.booleans()):
            name = draw(st.sampled_from([*sorted(tensors), "model/more", "nobody/weight", "schedule/count", "weight"]))
            change = draw(st.sampled_from(["drop", "put"]))
            tensors.pop(name, None) if change == "drop" else tensors.__setitem__(name, draw(junk_arrays))
            continue
        *above, last = draw(st.sampled_from(places(tree)[1:]))
        owner = tree
        for key in above:
            owner = owner[key]
        change = draw(st.sampled_from(["drop", "put", "put", "add"]))
        if change == "drop" and above:
            del owner[last]
        elif change == "add" and isinstance(owner[last], dict):
            owner[last][draw(st.sampled_from(["more", "lr", "weight", "state"]))] = draw(junk)
        else:
            owner[last] = draw(junk)
    return tensors, tree[""]


@settings(max_examples=max(30, settings.default.max_examples))
@given(data=st.data())
def test_a_checkpoint_of_wrong_contents_loads_or_is_refused_and_changes_nothing(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("io") / "file"
    saved = Whole(3)
    io.save_checkpoint(path, position={"step": 3, "losses": [0.5], "carry": np.ones(2)}, **saved.parts)
    tensors, tree = data.draw(wrong(*io.load(path)))
    forge(path, tensors, json.dumps(tree))
    run = Whole(1)
    before, changes = run.state(), mutations.latest
    try:
        io.load_checkpoint(path, **run.parts)
    except ValueError as error:
        assert str(path) in str(error)
        assert run.state() == before and mutations.latest == changes
    else:
        run.state()
        for part in run.parts.values():  # what was taken can be used
            if isinstance(part, np.random.Generator):
                part.random(1000)


def test_wrong_contents_that_were_taken_or_crashed(tmp_path):
    path = tmp_path / "file"
    io.save_checkpoint(path, position={"step": 3}, **Whole(3).parts)
    tensors, metadata = io.load(path)

    def at(*place):
        *above, last = ("checkpoint", *place)
        changed = owner = json.loads(json.dumps(metadata))
        for key in above:
            owner = owner[key]
        return changed, owner, last

    cases = [
        (("PCG64", "state", "state"), -1, "PCG64 does not fit"),
        (("PCG64", "has_uint32"), 7, "PCG64 does not fit"),
        (("MT19937", "state", "pos"), 10**6, "pos of MT19937: wanted 0 to 624"),
        (("Philox", "buffer_pos"), -5, "buffer_pos of Philox: wanted 0 to 4"),
        (("PCG64", "bit_generator"), "MT19937", "PCG64 does not fit"),
        (("model",), [], "wanted a dict for each part"),
        (("adam", "lr"), float("nan"), "lr=nan is out of range"),
        (("adam", "lr"), -1.0, "lr=-1. is out of range"),
        (("adam", "lr"), "0.1", "lr: got"),
        (("schedule", "count"), -1, "count=-1 is out of range"),
        (("schedule", "base"), float("inf"), "base=inf"),
        (("schedule", "base"), None, "base: got object"),
        (("plateau", "best"), float("nan"), "best=nan"),
        (("plateau", "bad"), 1.5, "bad: got float64"),
        (("model",), deep(150), "more than 100 deep"),
        (("model",), deep(900), "more than 100 deep"),
    ]
    for place, value, message in cases:
        changed, owner, last = at(*place)
        owner[last] = value
        forge(path, tensors, json.dumps(changed))
        run = Whole(1)
        before = run.state()
        with pytest.raises(ValueError, match=message):
            io.load_checkpoint(path, **run.parts)
        assert run.state() == before
    changed, owner, last = at("position")
    del owner[last]
    forge(path, tensors, json.dumps(changed))
    with pytest.raises(ValueError, match="has no position"):
        io.load_checkpoint(path, **Whole(1).parts)
    forge(path, {**tensors, "adam/steps": np.array([-1, 2])}, json.dumps(metadata))
    with pytest.raises(ValueError, match=r"steps=\[-1  2\] is out of range"):
        io.load_checkpoint(path, **Whole(1).parts)
    forge(path, tensors, "[" * 100_000 + "]" * 100_000)
    with pytest.raises(ValueError, match="more than 100 deep"):
        io.load(path)
    for levels in (150, 900):
        with pytest.raises(ValueError, match="more than 100 deep"):
            io.save(tmp_path / "new", {}, deep(levels))
    assert not (tmp_path / "new").exists()


def test_a_part_that_refuses_only_when_it_is_set_makes_the_others_go_back(tmp_path):
    class Strict:
        def __init__(self, error=None):
            self.error = error

        def state_dict(self):
            return {}

        def load_state_dict(self, state):
            if self.error:
                error, self.error = self.error, None
                raise error

    path = tmp_path / "file"
    io.save_checkpoint(path, **Whole(3).parts, own=Strict())
    for error, raised in [(RecursionError("deep"), ValueError), (KeyboardInterrupt(), KeyboardInterrupt)]:
        run = Whole(1)
        before = run.state()
        with pytest.raises(raised):
            io.load_checkpoint(path, **run.parts, own=Strict(error))
        assert run.state() == before
