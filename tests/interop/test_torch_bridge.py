"""`interop.torch`: a layer of ours within PyTorch's programs, and PyTorch's modules within ours."""

import copy
import pickle
import threading
import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad import nn, optim
from minigrad.models import LSTM, Recurrent

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.parity
from minigrad.interop import torch as bridge  # noqa: E402
from minigrad.interop.torch_layer import alive  # noqa: E402


class OwnCell(nn.Module):
    """A coupled LSTM with a buffer that scales its state."""

    def __init__(self, input_size, hidden_size):
        self.input_size, self.hidden_size = input_size, hidden_size
        rng = np.random.default_rng(0)
        self.weight_ih = nn.Parameter(rng.normal(size=(2 * hidden_size, input_size)).astype("float32"))
        self.weight_hh = nn.Parameter(rng.normal(size=(2 * hidden_size, hidden_size)).astype("float32"))
        self.scale = nn.Buffer(np.full(hidden_size, 0.5, "float32"))

    def forward(self, x, h):
        f, n = mg.split(x @ self.weight_ih.T + (self.scale * h) @ self.weight_hh.T, 2, axis=-1)
        f = mg.sigmoid(f)
        return f * h + (1 - f) * mg.tanh(n)


def layer(jit=True, kind=OwnCell, dtype="float64"):
    made = Recurrent(kind, 3, 4).astype(dtype)
    return mg.jit(made) if jit else made


def draw(*shape, dtype=torch.float64, seed=0, requires_grad=True):
    made = torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))
    return made.requires_grad_(requires_grad)


def step(module, x):
    """The result and the gradients of x and the parameters."""
    y = module(x)[0]
    return y, torch.autograd.grad((y**2).sum(), [x, *module.parameters()])


def same(a, b, atol=0.0):
    torch.testing.assert_close(a, b, rtol=0.0 if not atol else 1e-5, atol=atol)


@settings(max_examples=8)
@given(
    T=st.integers(1, 5), B=st.integers(0, 3), jit=st.booleans(), double=st.booleans(), directions=st.integers(1, 2),
    strided=st.booleans(),
)  # fmt: skip
def test_it_computes_what_the_module_of_pytorch_computes(T, B, jit, double, directions, strided):
    theirs = torch.nn.LSTM(3, 4, bidirectional=directions == 2)
    inner = LSTM(3, 4, bidirectional=directions == 2)
    ours = bridge.module(mg.jit(inner) if jit else inner)
    ours.load_state_dict(theirs.state_dict())
    assert list(ours.state_dict()) == list(theirs.state_dict())
    if double:
        ours, theirs = ours.double(), theirs.double()
    x = draw(B, T, 3).to(torch.float64 if double else torch.float32).detach()
    x = (x.transpose(0, 1) if strided else x.transpose(0, 1).contiguous()).requires_grad_()
    (y, gradients), (wanted, wanted_gradients) = step(ours, x), step(theirs, x)
    same(y, wanted, 1e-5)
    same(list(gradients), list(wanted_gradients), 1e-4)


@pytest.mark.parametrize("enforce_sorted", [False, True])
def test_packed_sequences_of_pytorch_go_in_and_come_out(enforce_sorted):
    theirs = torch.nn.LSTM(3, 4).double()
    ours = bridge.module(mg.jit(LSTM(3, 4).astype("float64")))
    ours.load_state_dict(theirs.state_dict())
    x = draw(5, 3, 3)
    lengths = torch.tensor([5, 3, 2] if enforce_sorted else [2, 5, 3])
    packed = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, enforce_sorted=enforce_sorted)
    (y, (h, _)), (wanted, (wanted_h, _)) = ours(packed), theirs(packed)
    same(y.data, wanted.data, 1e-12)
    same(h, wanted_h, 1e-12)
    same(y.batch_sizes, wanted.batch_sizes)
    same(torch.nn.utils.rnn.pad_packed_sequence(y)[1], lengths)
    gradients = [torch.autograd.grad((each.data**2).sum(), x, retain_graph=True)[0] for each in (y, wanted)]
    same(*gradients, 1e-12)


@pytest.mark.parametrize("jit", [False, True])
def test_gradcheck_of_both_orders(jit):
    module = bridge.module(layer(jit))
    x, parameters = draw(2, 2, 3), list(module.parameters())
    assert torch.autograd.gradcheck(lambda x, *_: module(x)[0], (x, *parameters))
    assert torch.autograd.gradgradcheck(lambda x, *_: module(x)[0], (x, *parameters))


def test_a_third_derivative_is_that_of_the_same_cell_in_pytorch():
    f = bridge.module(mg.jit(lambda x: mg.tanh(x) * x))
    x = draw(3)
    for order in range(4):
        ours, theirs = f(x), torch.tanh(x) * x
        for _ in range(order):
            (ours,), (theirs,) = [torch.autograd.grad(y.sum(), x, create_graph=True) for y in (ours, theirs)]
        same(ours, theirs, 1e-12)


def test_parameters_share_memory_with_ours_whoever_writes():
    inner = layer(dtype="float32")
    module = bridge.module(inner)
    assert dict(module.named_buffers()).keys() == {"scale_l0"}
    x = draw(5, 2, 3, dtype=torch.float32)
    optimizer = torch.optim.Adam(module.parameters(), lr=0.1)
    before = inner.weight_hh_l0.numpy().copy()
    (module(x)[0] ** 2).sum().backward()
    norm = torch.nn.utils.clip_grad_norm_(module.parameters(), 1e-3)
    assert norm > 1e-3 and module.weight_hh_l0.grad.norm() <= 1.1e-3
    optimizer.step()
    assert abs(inner.weight_hh_l0.numpy() - before).max() > 0.05
    np.testing.assert_array_equal(inner.weight_hh_l0.numpy(), module.weight_hh_l0.detach().numpy())
    same(module(x)[0], torch.tensor(inner(mg.tensor(x.detach().numpy()))[0].detach().numpy()))
    with mg.no_grad():
        inner.scale_l0.zero_()
    assert (module.scale_l0 == 0).all()
    inner(mg.tensor(x.detach().numpy()))[0].sum().backward()
    optim.SGD(inner.parameters(), lr=1.0).step()
    np.testing.assert_array_equal(inner.weight_hh_l0.numpy(), module.weight_hh_l0.detach().numpy())


def test_when_one_side_gets_other_memory_the_other_one_follows():
    inner = layer(dtype="float32")
    module, x = bridge.module(inner), draw(5, 2, 3)
    module.double()
    assert inner.weight_hh_l0.dtype == "float64" and module(x)[0].dtype == torch.float64
    inner.astype("float32")
    assert module(x.float())[0].dtype == torch.float32 == module.weight_hh_l0.dtype
    state = {name: torch.zeros_like(value) for name, value in module.state_dict().items()}
    module.load_state_dict(state, assign=True)
    assert not inner.weight_hh_l0.numpy().any() and not module(x.float())[0].any()
    with torch.no_grad():
        module.weight_ih_l0.fill_(1.0)
    assert inner.weight_ih_l0.numpy().all() and module(x.float())[0].any()


def test_copies_and_pickles_are_apart():
    module, x = bridge.module(layer()), draw(5, 2, 3)
    before = module(x)[0]
    for again in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        same(again(x)[0], before)
        with torch.no_grad():
            for p in again.parameters():
                p.mul_(2)
        assert (again(x)[0] != before).any() and again.of.weight_hh_l0.numpy().tolist() == again.weight_hh_l0.tolist()
        same(module(x)[0], before)
    average = torch.optim.swa_utils.AveragedModel(module, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.5))
    average.update_parameters(module)
    same(average(x)[0], before)


def test_train_and_eval_reach_the_layer_and_its_parts():
    class Dropping(nn.Module):
        def __init__(self):
            self.drop, self.inner = nn.Dropout(0.5), nn.Linear(2, 2)

        def forward(self, x):
            return self.drop(x)

    inner = Dropping()
    module = torch.nn.Sequential(bridge.module(mg.jit(inner)))
    x = torch.ones(50, 2)
    assert (module(x) == 0).any() and module.training
    module.eval()
    assert (module(x) == 1).all() and not inner.drop.training
    module[0].drop.train()
    assert (module(x) == 0).any() and inner.drop.training and not inner.training


def test_without_gradients_nothing_is_recorded():
    module, x = bridge.module(layer()), draw(5, 2, 3)
    before = len(alive)
    with torch.no_grad():
        assert not module(x)[0].requires_grad
    with torch.inference_mode():
        assert module(x)[0].is_inference()
    module.requires_grad_(False)
    assert not module(x.detach())[0].requires_grad and len(alive) == before
    y = module(x)[0]
    assert torch.autograd.grad(y.sum(), x)[0].shape == x.shape
    with pytest.raises(RuntimeError):
        torch.autograd.grad(module(x)[0].sum(), module.weight_hh_l0)
    assert module.of.weight_hh_l0.requires_grad is False


def test_the_tape_goes_when_pytorch_lets_its_own_go():
    module, x = bridge.module(layer()), draw(5, 2, 3)
    before = set(alive)
    y = module(x)[0]
    (number,) = set(alive) - before
    tape = weakref.ref(alive[number].recorded)
    y.sum().backward(retain_graph=True)
    first = x.grad.clone()
    y.sum().backward()
    same(x.grad, 2 * first)
    assert tape() is None  # though y is still there
    with pytest.raises(RuntimeError, match="second time"):
        y.sum().backward()


def test_what_has_been_changed_in_place_is_noticed():
    module = bridge.module(layer())
    for change in ("x", "parameter", "result"):
        x = draw(5, 2, 3, requires_grad=False)
        y = module(x)[0]
        with torch.no_grad():
            {"x": x, "parameter": module.weight_hh_l0, "result": y.detach()}[change].mul_(2)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            y.sum().backward()
    y = module(draw(5, 2, 3))[0]
    with mg.no_grad():
        module.of.weight_hh_l0.zero_()
    with pytest.raises(RuntimeError, match="changed in place"):
        y.sum().backward()


def test_results_have_memory_of_their_own():
    constant = mg.tensor([1.0, 2.0])
    f = bridge.module(lambda x: (x, x.T, x[0], constant))
    x = draw(2, 2, requires_grad=False)
    before = x.clone()
    for y in f(x):
        y.mul_(0.0)
    same(x, before)
    assert constant.tolist() == [1.0, 2.0]


def test_two_threads_get_what_one_gets():
    module, found = bridge.module(layer()), {}
    xs = [draw(9, 2, 3, seed=k) for k in range(2)]
    wanted = [step(module, x)[1] for x in xs]

    def work(k):
        found[k] = [step(module, xs[k])[1] for _ in range(30)]

    threads = [threading.Thread(target=work, args=(k,)) for k in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k in range(2):
        for gradients in found[k]:
            same(gradients, wanted[k], 1e-12)


class Features(torch.utils.data.Dataset):
    def __init__(self, module):
        self.module = module

    def __len__(self):
        return 4

    def __getitem__(self, k):
        with torch.no_grad():
            return self.module(draw(5, 1, 3, seed=k))[0]


@pytest.mark.parametrize("context", ["fork", pytest.param("spawn", marks=pytest.mark.heavy)])
def test_in_the_workers_of_a_data_loader(context):
    data = Features(bridge.module(layer()))
    data.module(draw(9, 4, 3))[0].sum().backward()  # threads have been started before
    loader = torch.utils.data.DataLoader(data, batch_size=2, num_workers=2, multiprocessing_context=context)
    same(torch.cat(list(loader)), torch.stack([data[k] for k in range(4)]), 1e-12)


def test_what_else_pytorch_does_with_modules():
    module, x = bridge.module(layer()), draw(5, 2, 3)
    f = lambda x: (module(x)[0] ** 2).sum()  # noqa: E731
    (wanted,) = torch.autograd.grad(f(x), x)
    for reentrant in (False, True):
        y = torch.utils.checkpoint.checkpoint(f, x, use_reentrant=reentrant)
        x.grad = None
        y.backward()
        same(x.grad, wanted)
    same(torch.func.grad(f)(x), wanted)
    zeros = {name: torch.zeros_like(p) for name, p in module.named_parameters()}
    assert not torch.func.functional_call(module, zeros, (x,))[0].any()
    same(torch.autograd.grad(f(x), x)[0], wanted)
    assert module.of.weight_hh_l0.numpy().any()
    with torch.autograd.graph.save_on_cpu():
        y = f(x)
    same(torch.autograd.grad(y, x)[0], wanted)
    torch.nn.utils.parametrizations.weight_norm(module, "weight_hh_l0")
    f(x).backward()
    assert module.parametrizations.weight_hh_l0.original1.grad.any()
    with pytest.raises(RuntimeError, match="vmap"):
        torch.func.vmap(lambda x: module(x)[0])(x[None])
    module.float()
    with torch.autocast("cpu", torch.bfloat16):
        assert module(torch.nn.Linear(3, 3)(x.float()))[0].dtype == torch.float32


@pytest.mark.heavy  # PyTorch's compiler takes its time
def test_torch_compile_leaves_it_to_python():
    model = torch.nn.Sequential(
        torch.nn.Linear(3, 3), bridge.module(mg.jit(lambda x: mg.tanh(x))), torch.nn.Linear(3, 1)
    )
    x = torch.randn(5, 3)
    compiled = torch.compile(model)
    same(compiled(x), model(x), 1e-6)
    compiled(x).sum().backward()
    assert model[0].weight.grad.any()


class Pair(torch.nn.Module):
    """A `step` of Hogwild or DDP: a layer of ours between layers of PyTorch."""

    def __init__(self):
        super().__init__()
        self.first, self.rnn, self.last = (
            torch.nn.Linear(2, 3),
            bridge.module(layer(dtype="float32")),
            torch.nn.Linear(4, 1),
        )

    def forward(self, x):
        return self.last(self.rnn(self.first(x))[0])


def test_a_training_loop_with_a_checkpoint_in_the_middle(tmp_path):
    torch.manual_seed(0)
    model, x = Pair(), draw(5, 8, 2, dtype=torch.float32, requires_grad=False)
    target = x.sum(-1, keepdim=True).cumsum(0)

    def run(model, optimizer, count):
        for _ in range(count):
            optimizer.zero_grad()
            loss = torch.nn.functional.mse_loss(model(x), target)
            loss.backward()
            optimizer.step()
        return loss.item()

    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    first = run(model, optimizer, 1)
    run(model, optimizer, 5)
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "run.pt")
    last = run(model, optimizer, 30)
    assert last < first / 2
    again = Pair()
    other = torch.optim.Adam(again.parameters(), lr=0.03)
    state = torch.load(tmp_path / "run.pt", weights_only=True)
    again.load_state_dict(state["model"])
    other.load_state_dict(state["optimizer"])
    assert run(again, other, 30) == last


def test_a_function_brings_the_modules_that_it_names():
    inner, scale = nn.Linear(3, 3), nn.Parameter(np.ones(3, "float32"))
    module = bridge.module(mg.jit(lambda x: {"y": inner(x) * scale, "n": 3, "c": (x > 0).sum()}))
    assert {name for name, _ in module.named_parameters()} == {"inner.weight", "inner.bias", "scale"}
    result = module(torch.ones(2, 3))
    assert result["n"] == 3 and result["c"] == 6 and not result["c"].requires_grad
    result["y"].sum().backward()
    assert module.scale.grad.any() and module.inner.weight.grad.any()


def test_errors_say_what_and_how():
    free = mg.tensor(np.ones((3, 3), "float32"), requires_grad=True)
    lost = bridge.module(mg.jit(lambda x: x @ free))
    with pytest.raises(RuntimeError, match=r"float32\[3, 3\].*nn.Parameter"):
        lost(torch.ones(2, 3, requires_grad=True)).sum().backward()
    with pytest.raises(TypeError, match="bfloat16 on cpu, wanted float32"):
        lost(torch.ones(2, 3, dtype=torch.bfloat16))
    with pytest.raises(TypeError, match="module: wanted a layer or a function, got int"):
        bridge.module(3)
    with pytest.raises(TypeError, match="function: wanted a torch.nn.Module or a function, got int"):
        bridge.function(3)
    with pytest.raises(RuntimeError, match="change"):  # what it is given it may not change

        def change(x):
            x += 1
            return x

        bridge.module(change)(torch.ones(2))


# The other way


def network():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2)).double()


def test_a_module_of_pytorch_is_a_module_of_ours():
    theirs = network()
    ours = bridge.function(theirs)
    assert list(dict(ours.named_parameters())) == list(dict(theirs.named_parameters()))
    x = mg.tensor(draw(5, 3).detach().numpy())
    assert mg.testing.gradcheck(ours, [x])
    (ours(x) ** 2).sum().backward()
    given = torch.tensor(x.numpy())
    (theirs(given) ** 2).sum().backward()
    for p, q in zip(ours.parameters(), theirs.parameters()):
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-12)
    optim.SGD(ours.parameters(), lr=0.1).step()
    for p, q in zip(ours.parameters(), theirs.parameters()):
        np.testing.assert_array_equal(p.numpy(), q.detach().numpy())
    np.testing.assert_array_equal(ours(x).detach().numpy(), theirs(given).detach().numpy())


def test_derivatives_of_higher_order_and_forward_mode_of_a_module_of_pytorch():
    theirs = network()
    ours, x = bridge.function(theirs), draw(5, 3)

    def squared(g):
        return (g**2).sum()

    f = lambda x: squared(ours(x))  # noqa: E731
    given = mg.tensor(x.detach().numpy())
    second = mg.grad(lambda x: squared(mg.grad(f)(x)))(given)
    (g,) = torch.autograd.grad(squared(theirs(x)), x, create_graph=True)
    np.testing.assert_allclose(second.numpy(), torch.autograd.grad(squared(g), x)[0].numpy(), rtol=1e-10)
    _, tangent = mg.jvp(ours, (given,), (mg.ones((5, 3), "float64"),))
    _, wanted = torch.func.jvp(theirs, (x.detach(),), (torch.ones(5, 3, dtype=torch.float64),))
    np.testing.assert_allclose(tangent.numpy(), wanted.detach().numpy(), rtol=1e-10)


def test_modes_buffers_and_draws_of_a_module_of_pytorch():
    theirs = torch.nn.Sequential(torch.nn.BatchNorm1d(3), torch.nn.Dropout(0.5))
    model = nn.Sequential(nn.Linear(3, 3), bridge.function(theirs))
    x = mg.tensor(np.random.default_rng(0).normal(size=(8, 3)).astype("float32"))
    assert "1.0.running_mean" in model.state_dict()
    model(x)
    assert model.state_dict()["1.0.running_mean"].any() and model.state_dict()["1.0.num_batches_tracked"] == 1
    torch.manual_seed(0)
    model(x).sum().backward()
    wanted = [p.grad.numpy().copy() for p in model.parameters()]
    model.zero_grad()
    torch.manual_seed(0)
    y = mg.checkpoint(model)(x)
    torch.manual_seed(7)
    y.sum().backward()
    for p, g in zip(model.parameters(), wanted):
        np.testing.assert_allclose(p.grad.numpy(), g, atol=1e-6)
    model.eval()
    assert not theirs.training and not theirs[1].training
    np.testing.assert_array_equal(model(x).detach().numpy(), model(x).detach().numpy())


def test_what_is_changed_in_place_between_forward_and_backward_is_noticed_here_too():
    ours = bridge.function(network())
    x = mg.tensor(draw(5, 3).detach().numpy())
    for change in (lambda y: ours.parameters().__next__(), lambda y: y.detach()):
        y = ours(x)
        with mg.no_grad():
            change(y).zero_()
        with pytest.raises(RuntimeError, match="changed in place"):
            y.sum().backward()
    relu = bridge.function(torch.nn.ReLU(inplace=True))
    x, w = mg.tensor([-1.0, 2.0]), mg.tensor([1.0, 1.0], requires_grad=True)
    y = x * w
    relu(x)
    with pytest.raises(RuntimeError, match="changed in place"):
        y.sum().backward()


def test_a_function_of_pytorch_takes_and_returns_nested_tensors_and_cannot_be_traced():
    f = bridge.function(lambda pair, scale: {"sum": pair[0] + pair[1] * scale, "first": pair[0]})
    a, b = mg.tensor([1.0, 2.0], requires_grad=True), mg.tensor([3.0, 4.0])
    result = f((a, b), 2.0)
    assert result["sum"].tolist() == [7.0, 10.0]
    (result["sum"] + result["first"]).sum().backward()
    assert a.grad.tolist() == [2.0, 2.0]
    for trace in (mg.jit, mg.vmap):
        with pytest.raises(RuntimeError, match="nobody can trace"):
            trace(lambda a, b: f((a, b), 2.0))(a.detach(), b)
