"""Tensors, files and objects to other libraries and back: DLPack, NumPy's files, PyTorch's files, processes."""

import copy
import multiprocessing

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad import io, nn, optim
from minigrad.models import LSTM

DTYPES = ["float32", "float64", "int8", "int32", "int64", "uint8", "bool"]
LAYOUTS = {"C": lambda a: a, "strided": lambda a: a[:, ::2], "transposed": lambda a: a.T, "backward": lambda a: a[::-1]}


def jax():
    return pytest.importorskip("jax")


@given(
    dtype=st.sampled_from(DTYPES), layout=st.sampled_from(sorted(LAYOUTS)), shape=st.tuples(*[st.integers(0, 4)] * 2)
)
def test_numpy_and_a_tensor_are_one_memory_both_ways(dtype, layout, shape):
    array = LAYOUTS[layout](np.arange(np.prod(shape)).reshape(shape).astype(dtype))
    t = mg.from_dlpack(array)
    assert t.dtype == dtype and t.shape == array.shape
    np.testing.assert_array_equal(t.numpy(), array)
    again = np.from_dlpack(t)
    assert again.dtype == dtype and not again.flags.writeable
    if array.size:
        assert np.shares_memory(t.numpy(), array) and np.shares_memory(again, array)
        array[0, 0] = 1
        assert t.numpy()[0, 0] == 1 == again[0, 0]
        with mg.no_grad():
            t[0, 0] = array[0, 0] == 2
        assert array[0, 0] == 0


def test_memory_that_is_read_only_stays_so():
    array = np.arange(3.0)
    array.flags.writeable = False
    t = mg.from_dlpack(array)
    with pytest.raises(ValueError, match="read-only"):
        t += 1.0
    assert (t + 1.0).tolist() == [1.0, 2.0, 3.0] and not np.from_dlpack(t).flags.writeable
    with pytest.raises(BufferError, match="readonly"):
        t.__dlpack__()  # whoever asks so could not be told
    w = mg.tensor([1.0], requires_grad=True)
    for lost in (lambda: np.from_dlpack(w), lambda: (w * 1.0).__dlpack__(max_version=(1, 0))):
        with pytest.raises(BufferError, match="detach"):
            lost()
    np.from_dlpack(w.detach())


def test_gradients_reach_what_came_from_elsewhere_and_a_jitted_function_reads_it_at_every_call():
    array = np.arange(3.0)
    t = mg.from_dlpack(array).requires_grad_()
    (t**2).sum().backward()
    assert t.grad.tolist() == [0.0, 2.0, 4.0]
    f = mg.jit(lambda: mg.from_dlpack(array) * 2.0)
    assert f().tolist() == [0.0, 2.0, 4.0]
    array[0] = 5.0
    assert f().tolist() == [10.0, 2.0, 4.0]


def test_what_cannot_be_looked_at_is_refused_by_name():
    for wrong in ([1.0], np.zeros(2, "complex64"), np.zeros(2, "float16"), np.zeros(2, ">f8")):
        with pytest.raises(TypeError, match="from_dlpack"):
            mg.from_dlpack(wrong)


@pytest.mark.parametrize("dtype", DTYPES)
def test_pytorch_and_a_tensor_are_one_memory_both_ways(torch, dtype):
    theirs = torch.arange(6).reshape(2, 3).to(getattr(torch, dtype)).T
    t = mg.from_dlpack(theirs)
    theirs[0, 0] = 1
    assert t.numpy()[0, 0] == 1 and t.dtype == dtype and t.shape == (3, 2)
    for back in (torch.from_dlpack(t), torch.as_tensor(t)):
        assert back.data_ptr() == theirs.data_ptr() and (back == theirs).all()
    copied = torch.tensor(t)
    assert (copied == theirs).all() and copied.data_ptr() != theirs.data_ptr()
    with pytest.raises(TypeError, match="from_dlpack.*grad"):
        mg.from_dlpack(torch.ones(2, requires_grad=True))


@pytest.mark.parity
def test_jax_and_a_tensor_are_one_memory_both_ways():
    jnp = jax().numpy
    array = jnp.arange(64, dtype="float32")
    t = mg.from_dlpack(array)
    assert t.numpy().ctypes.data == array.unsafe_buffer_pointer()
    with pytest.raises(ValueError, match="read-only"):
        t += 1.0
    memory = np.empty(64 + 16, "float32")
    start = -memory.ctypes.data % 64 // 4  # JAX takes memory that is aligned without a copy
    t = mg.from_dlpack(memory[start : start + 64])
    t.copy_(np.arange(64))
    back = jnp.from_dlpack(t)
    assert back.unsafe_buffer_pointer() == t.numpy().ctypes.data and (back == array).all()
    assert (jnp.asarray(t) == array).all()


def test_numpys_files(tmp_path):
    t, w = mg.tensor([[1.0, 2.0]]), nn.Parameter(np.ones(2))
    np.save(tmp_path / "t.npy", t)
    np.savez(tmp_path / "both.npz", t=t, w=w)
    np.savez_compressed(tmp_path / "small.npz", t)
    np.savetxt(tmp_path / "t.txt", t)
    np.testing.assert_array_equal(np.load(tmp_path / "t.npy"), t.numpy())
    np.testing.assert_array_equal(np.load(tmp_path / "both.npz")["w"], np.ones(2))
    np.testing.assert_array_equal(np.load(tmp_path / "small.npz")["arr_0"], t.numpy())
    np.testing.assert_array_equal(np.loadtxt(tmp_path / "t.txt"), [1.0, 2.0])


def test_files_of_pytorch_are_read_without_running_code(torch, tmp_path):
    model = torch.nn.LSTM(2, 3)
    for old in (False, True):
        torch.save(model.state_dict(), tmp_path / "weights.pt", _use_new_zipfile_serialization=not old)
        arrays, metadata = io.load(tmp_path / "weights.pt")
        assert metadata is None
        LSTM(2, 3).load_state_dict(arrays)
        np.testing.assert_array_equal(arrays["weight_hh_l0"], model.weight_hh_l0.detach().numpy())
    state = {"model": model.bfloat16().state_dict(), "epoch": 3, "rates": [0.1, torch.ones(2).half()]}
    torch.save(state, tmp_path / "run.pt")
    arrays, metadata = io.load(tmp_path / "run.pt")
    assert metadata == {"epoch": 3, "rates.0": 0.1} and arrays["rates.1"].dtype == "float32"
    assert arrays["model.weight_hh_l0"].dtype == "float32"
    np.testing.assert_array_equal(arrays["model.weight_hh_l0"], model.weight_hh_l0.detach().float().numpy())
    ours = LSTM(2, 3)
    ours.load_state_dict(model.state_dict())  # bfloat16, as it is
    np.testing.assert_array_equal(ours.weight_hh_l0.numpy(), arrays["model.weight_hh_l0"])
    torch.save({"f": Unsafe()}, tmp_path / "unsafe.pt")
    with pytest.raises(ValueError, match="unsafe.pt is corrupt, or holds what PyTorch does not read"):
        io.load(tmp_path / "unsafe.pt")
    torch.save({"a": {"b": 1}, "a.b": 2}, tmp_path / "twice.pt")
    with pytest.raises(ValueError, match="two values are called 'a.b'"):
        io.load(tmp_path / "twice.pt")
    (tmp_path / "cut.pt").write_bytes((tmp_path / "run.pt").read_bytes()[:200])
    with pytest.raises(ValueError, match="cut.pt is corrupt"):
        io.load(tmp_path / "cut.pt")


class Unsafe:
    def __reduce__(self):
        return print, ("code that runs",)


def test_narrow_floats_of_other_programs_come_as_float32(torch, tmp_path):
    safetensors = pytest.importorskip("safetensors.torch")
    values = torch.tensor([[1.5, -0.0, float("inf")], [3.14159, 1e-30, float("nan")]])
    tensors = {
        "b": values.bfloat16(),
        "h": values.half(),
        "f": values,
        "e": values[:0].bfloat16(),
        "s": values[0, 0].half(),
    }
    safetensors.save_file(tensors, tmp_path / "f")
    arrays, _ = io.load(tmp_path / "f")
    for name, value in tensors.items():
        assert arrays[name].dtype == "float32" and arrays[name].shape == tuple(value.shape)
        np.testing.assert_array_equal(arrays[name], value.float().numpy())


# Objects: pickled, copied, sent to other processes


@mg.jit
def doubled(x):
    return x * 2.0


def gradient(module, x):
    module(x)[0].sum().backward()
    return module.weight_hh_l0.grad.numpy()


def test_other_processes_get_modules_optimizers_and_jitted_functions():
    module, x = mg.jit(LSTM(2, 3)), np.ones((4, 1, 2), "float32")
    wanted = gradient(copy.deepcopy(module), x)
    with multiprocessing.get_context("fork").Pool(1) as pool:
        np.testing.assert_array_equal(pool.apply(gradient, (module, x)), wanted)
        assert pool.apply(doubled, (mg.tensor([1.0]),)).tolist() == [2.0]


def test_joblib_sends_and_stores_them(tmp_path):
    joblib = pytest.importorskip("joblib")
    module, x = mg.jit(LSTM(2, 3)), np.ones((4, 1, 2), "float32")
    wanted = gradient(copy.deepcopy(module), x)
    joblib.dump({"model": module, "optimizer": optim.Adam(module.parameters())}, tmp_path / "f")
    again = joblib.load(tmp_path / "f")
    np.testing.assert_array_equal(gradient(again["model"], x), wanted)
    assert again["optimizer"].parameters[0] is next(again["model"].parameters())
    (found,) = joblib.Parallel(2, backend="threading")([joblib.delayed(gradient)(copy.deepcopy(module), x)])
    np.testing.assert_array_equal(found, wanted)


def test_a_moving_average_of_a_jitted_model():
    model = mg.jit(nn.Linear(2, 1))
    average, x = copy.deepcopy(model), mg.tensor([[1.0, 2.0]])
    before = average(x).item()
    with mg.no_grad():
        for p, q in zip(average.parameters(), model.parameters()):
            q += 1.0
            p.copy_(0.9 * p + 0.1 * q)
    assert average(x).item() == pytest.approx(before + 0.1 * 4.0, rel=1e-5)
