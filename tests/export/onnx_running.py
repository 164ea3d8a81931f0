"""Exported models, checked and run."""

import warnings

import numpy as np
import onnx
import onnxruntime

import minigrad as mg

OPTIONS = onnxruntime.SessionOptions()
OPTIONS.intra_op_num_threads = OPTIONS.inter_op_num_threads = 1
OPTIONS.log_severity_level = 3


class NoKernel(Exception):
    """onnxruntime has none for an op of this dtype."""


def session_of(model) -> onnxruntime.InferenceSession:
    onnx.checker.check_model(model, full_check=True)
    try:
        return onnxruntime.InferenceSession(model.SerializeToString(), OPTIONS, providers=["CPUExecutionProvider"])
    except onnxruntime.capi.onnxruntime_pybind11_state.NotImplemented as error:
        raise NoKernel(str(error)) from error


def run(session, *arrays) -> list[np.ndarray]:
    return session.run(None, {i.name: np.asarray(a) for i, a in zip(session.get_inputs(), arrays, strict=True)})


def arrays_of(results) -> list[np.ndarray]:
    return [np.asarray(x.detach().numpy() if isinstance(x, mg.Tensor) else x) for x in mg.tree.flatten(results)[0]]


def eager(f, *args) -> list[np.ndarray]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return arrays_of(f(*args))


def close(got, wanted, scale=8.0):
    """Within some units in the last place of the largest number."""
    assert len(got) == len(wanted)
    for a, b in zip(got, wanted):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        if a.dtype.kind != "f":
            np.testing.assert_array_equal(a, b)
            continue
        largest = np.abs(b[np.isfinite(b)]).max(initial=0.0) if b.size else 0.0
        eps = np.finfo(a.dtype).eps
        np.testing.assert_allclose(a, b, rtol=scale * eps, atol=scale * eps * max(float(largest), 1e-3))
