"""Modules, layers and initial values."""

import copy
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad import nn
from minigrad.nn import init
from minigrad.testing import seeds


def leaf(*shape):
    return nn.Parameter(np.random.default_rng(math.prod(shape)).normal(size=shape))


class Block(nn.Module):
    def __init__(self, size):
        self.inner = nn.Linear(size, size)
        self.scale = leaf(size)
        self.size = size

    def forward(self, x):
        return self.inner(x) * self.scale


class Nest(nn.Module):
    """Parameters and modules in every kind of place, some of them twice."""

    def __init__(self):
        self.blocks = [Block(2), (leaf(3), {"deep": Block(4), "p": leaf(1)})]
        self.own = leaf(2, 2)
        self.again = self.own
        self.tied = Block(2)
        self.tied.inner = self.blocks[0].inner
        self.table = {0: leaf(5)}
        self.others = [1, "text", None, np.ones(2), mg.tensor([1.0])]
        self.parent = self.tied.parent = self


EVERY_NAME = [
    "blocks.1.0", "blocks.1.1.p", "own", "again", "table.0", "blocks.0.scale", "blocks.0.inner.weight",
    "blocks.0.inner.bias", "blocks.1.1.deep.scale", "blocks.1.1.deep.inner.weight", "blocks.1.1.deep.inner.bias",
    "tied.scale", "tied.inner.weight", "tied.inner.bias",
]  # fmt: skip
SHARED = {"again", "tied.inner.weight", "tied.inner.bias"}


def test_parameters_are_found_wherever_they_are_each_once():
    nest = Nest()
    found = dict(nest.named_parameters())
    assert list(found) == [name for name in EVERY_NAME if name not in SHARED]
    assert found["blocks.1.1.p"] is nest.blocks[1][1]["p"] and found["table.0"] is nest.table[0]
    assert [id(p) for p in nest.parameters()] == [id(p) for p in found.values()]
    assert [name for name, _ in nest.named_modules()] == [
        "", "blocks.0", "blocks.0.inner", "blocks.1.1.deep", "blocks.1.1.deep.inner", "tied",
    ]  # fmt: skip
    assert [m for m in nest.children() if m is not nest] == [nest.blocks[0], nest.blocks[1][1]["deep"], nest.tied]
    assert len(list(nest.modules())) == 6


def test_names_are_pytorchs(torch):
    ours = nn.Sequential(nn.Linear(2, 3), mg.tanh, nn.Sequential(nn.Linear(3, 3, bias=False), nn.LayerNorm(3)))
    theirs = torch.nn.Sequential(
        torch.nn.Linear(2, 3), torch.nn.Tanh(),
        torch.nn.Sequential(torch.nn.Linear(3, 3, bias=False), torch.nn.LayerNorm(3)),
    )  # fmt: skip
    shapes = {name: tuple(value.shape) for name, value in theirs.state_dict().items()}
    assert list(shapes.items()) == [(name, value.shape) for name, value in ours.state_dict().items()]
    assert [n for n, _ in ours.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    x = np.random.default_rng(0).normal(size=(4, 2)).astype("float32")
    ours.load_state_dict(theirs.state_dict())
    np.testing.assert_allclose(ours(x).detach().numpy(), theirs(torch.tensor(x)).detach().numpy(), atol=1e-5)
    ours.load_state_dict(dict(theirs.named_parameters()))  # those require a gradient


def test_state_dict_round_trip():
    nest, other = Nest(), Nest()
    for p in nest.parameters():
        with mg.no_grad():
            p += 1.0
    state = nest.state_dict()
    assert list(state) == EVERY_NAME
    assert other.load_state_dict(state) == ([], [])
    for p, q in zip(nest.parameters(), other.parameters()):
        np.testing.assert_array_equal(p.detach().numpy(), q.detach().numpy())
    state["own"][...] = 7.0  # a copy
    assert (nest.own.detach().numpy() != 7.0).all() and (other.own.detach().numpy() != 7.0).all()


def test_loading_keeps_parameters_and_their_dtype():
    layer = nn.Linear(2, 2)
    weight, memory = layer.weight, layer.weight.detach().numpy()
    loss = (layer.weight * layer.weight).sum()
    layer.load_state_dict({"weight": np.arange(4.0).reshape(2, 2).T, "bias": mg.tensor([1, 2])})
    assert layer.weight is weight and weight.dtype == np.float32 and weight.requires_grad
    np.testing.assert_array_equal(memory, [[0, 2], [1, 3]])
    with pytest.raises(RuntimeError, match="changed in place"):
        loss.backward()


def test_a_state_that_does_not_fit_changes_nothing():
    layer = nn.Linear(2, 3)
    before = layer.state_dict()
    wrong = {"weight": np.zeros((2, 3)), "biass": np.zeros(3), "extra": np.zeros(1)}
    message = r"of Linear: missing: bias; unexpected: biass, extra; weight: got shape \(2, 3\), wanted \(3, 2\)$"
    with pytest.raises(ValueError, match=message):
        layer.load_state_dict(wrong)
    with pytest.raises(ValueError, match=r"Linear: weight: got complex128, wanted float32$"):
        layer.load_state_dict({"bias": np.zeros(3), "weight": np.zeros((3, 2), complex)})
    with pytest.raises(ValueError, match=r"Linear: weight: got shape"):
        layer.load_state_dict(wrong, strict=False)
    for name, value in layer.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
    assert layer.load_state_dict({"bias": np.ones(3), "extra": np.ones(1)}, strict=False) == (["weight"], ["extra"])
    np.testing.assert_array_equal(layer.bias.detach().numpy(), np.ones(3))


def test_train_eval_and_zero_grad():
    nest = Nest()
    assert nest.training and nest.tied.inner.training
    assert nest.eval() is nest
    assert not any(module.training for module in nest.modules())
    nest.train()
    assert all(module.training for module in nest.modules())
    nest.own.requires_grad_(False)
    for p in nest.parameters():
        if p is not nest.own:
            p.grad = np.ones(p.shape)
    nest.zero_grad()
    assert all(p.grad is None for p in nest.parameters())


def test_astype():
    nest = Nest()
    nest.table[0].requires_grad_(False)
    before = nest.state_dict()
    nest.own.grad = np.ones((2, 2))
    own = nest.own
    assert nest.astype("float32") is nest and nest.own is nest.again is own
    assert all(p.dtype == np.float32 for p in nest.parameters())
    assert own.requires_grad and own.grad is None and not nest.table[0].requires_grad
    (own * own).sum().backward()
    assert own.grad.dtype == np.float32
    for name, value in nest.state_dict().items():
        np.testing.assert_array_equal(value, before[name].astype("float32"))
    with pytest.raises(TypeError, match="float32 or float64, got int64"):
        nest.astype(int)


def test_deepcopy_is_independent_and_keeps_what_is_shared():
    nest = Nest()
    nest.table[0].requires_grad_(False)
    twin = copy.deepcopy(nest)
    assert list(twin.state_dict()) == EVERY_NAME
    assert twin.own is twin.again is not nest.own and type(twin.own) is nn.Parameter
    assert twin.own.requires_grad and not twin.table[0].requires_grad
    with mg.no_grad():
        twin.own += 1.0
    assert (twin.own.detach().numpy() != nest.own.detach().numpy()).all()


def test_parameter_is_a_float_leaf_with_memory_of_its_own():
    array = np.ones((2, 3)).T
    p = nn.Parameter(array)
    array[...] = 5.0
    assert p.requires_grad and p.is_leaf and (p.detach().numpy() == 1.0).all() and p.detach().numpy().flags.c_contiguous
    assert nn.Parameter([1.0, 2.0]).dtype == np.float32 and not nn.Parameter(array, requires_grad=False).requires_grad
    assert type(p * 2) is mg.Tensor
    with pytest.raises(TypeError, match="only float tensors"):
        nn.Parameter([1, 2])
    assert repr(nn.Parameter([1.0])) == "Parameter([1.], dtype=float32, requires_grad=True)"


def test_repr_shows_settings_shapes_and_structure():
    model = nn.Sequential(nn.Linear(2, 3), mg.tanh, nn.Sequential(nn.Dropout(0.5)))
    assert repr(model.eval()) == (
        "Sequential()\n"
        "  0: Linear(in_features=2, out_features=3): weight float32[3, 2], bias float32[3]\n"
        "  2: Sequential()\n"
        "    0: Dropout(p=0.5)"
    )


def test_a_module_without_forward():
    with pytest.raises(NotImplementedError, match="Module has no forward"):
        nn.Module()(1)


def test_sequential():
    layers = [nn.Linear(2, 2), mg.tanh, nn.Linear(2, 2)]
    model = nn.Sequential(*layers)
    assert len(model) == 3 and list(model) == layers and model[-1] is layers[-1] and model[1:] == layers[1:]
    x = mg.tensor(np.ones((1, 2), "float32"))
    np.testing.assert_array_equal(model(x).detach().numpy(), layers[2](mg.tanh(layers[0](x))).detach().numpy())
    assert nn.Sequential()(x) is x


# Layers against PyTorch: the same state dict, the same outputs and gradients


def parity(ours, theirs, x, tolerance=1e-10):
    import torch

    theirs = theirs.double()
    ours.astype("float64").load_state_dict(theirs.state_dict())
    assert [n for n, _ in ours.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    a, b = mg.tensor(x), torch.tensor(x)
    if x.dtype.kind == "f":
        a.requires_grad_(), b.requires_grad_()
    y, z = ours(a), theirs(b)
    np.testing.assert_allclose(y.detach().numpy(), z.detach().numpy(), rtol=tolerance, atol=tolerance)
    g = np.random.default_rng(1).normal(size=y.shape)
    y.backward(g)
    z.backward(torch.tensor(g))
    pairs = [(p, q) for p, q in zip(ours.parameters(), theirs.parameters())] + ([(a, b)] if x.dtype.kind == "f" else [])
    for p, q in pairs:
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=tolerance, atol=tolerance)


@given(
    lead=st.lists(st.integers(0, 3), max_size=2),
    inputs=st.integers(1, 4),
    outputs=st.integers(1, 4),
    bias=st.booleans(),
)
def test_linear(torch, lead, inputs, outputs, bias):
    x = np.random.default_rng(0).normal(size=(*lead, inputs))
    parity(nn.Linear(inputs, outputs, bias), torch.nn.Linear(inputs, outputs, bias), x)


@pytest.mark.parametrize("shape", [(), (5,), (2, 3), (0,)])
def test_embedding(torch, shape):
    parity(nn.Embedding(4, 3), torch.nn.Embedding(4, 3), np.random.default_rng(0).integers(0, 4, shape))


@pytest.mark.parametrize("padding_idx", [0, 2, -1])
def test_embedding_of_padding(torch, padding_idx):
    """It begins as zeros, and gets no gradient, also where it has become something else."""
    ours, theirs = nn.Embedding(4, 3, padding_idx), torch.nn.Embedding(4, 3, padding_idx)
    assert ours.padding_idx == theirs.padding_idx and not ours.weight.numpy()[padding_idx].any()
    indices = np.array([[0, 1, 2], [3, 3, 2]])
    parity(ours, theirs, indices)
    assert not ours.weight.grad.numpy()[padding_idx].any()
    with mg.no_grad():
        ours.weight += 1
    np.testing.assert_array_equal(ours(indices).numpy(), ours.weight.numpy()[indices])
    fast = mg.jit(ours)
    ours.zero_grad()
    fast(mg.tensor(indices)).sum().backward()
    assert ours.weight.grad.numpy().any(axis=1).tolist() == [n != ours.padding_idx for n in range(4)]


def test_no_such_padding():
    for wrong in (4, -5):
        with pytest.raises(ValueError, match=f"Embedding: got padding_idx={wrong}, wanted one of the 4 entries"):
            nn.Embedding(4, 3, wrong)


# A layer at every step


@given(rng=seeds(), T=st.integers(0, 4), B=st.integers(1, 3))
def test_a_layer_at_every_step(rng, T, B):
    layer = nn.Conv2d(2, 3, 2)
    x, mask = rng.normal(size=(T, B, 2, 3, 4)).astype("float32"), rng.random((T, B)) < 0.6
    x[~mask] = np.nan
    x = mg.tensor(x, requires_grad=True)
    y = nn.TimeDistributed(layer)(x, mask)
    assert y.shape == (T, B, 3, 2, 3)
    for t, b in np.ndindex(T, B):
        wanted = layer(x[t, b][None])[0].numpy() if mask[t, b] else np.zeros((3, 2, 3))
        np.testing.assert_allclose(y.numpy()[t, b], wanted, rtol=1e-5, atol=1e-6)
    y.sum().backward()
    assert not x.grad.numpy()[~mask].any() and np.isfinite(x.grad.numpy()).all()
    assert all(np.isfinite(p.grad.numpy()).all() for p in layer.parameters())


def test_a_layer_at_every_step_compiles_and_refuses():
    layer, x = nn.TimeDistributed(nn.Linear(3, 2)), np.ones((4, 2, 3), "float32")
    np.testing.assert_allclose(mg.jit(layer)(x).numpy(), layer.layer(x).numpy(), rtol=1e-6)
    assert list(layer.state_dict()) == ["layer.weight", "layer.bias"]
    with pytest.raises(ValueError, match="TimeDistributed: got x of shape .3,., wanted"):
        layer(x[0, 0])
    with pytest.raises(ValueError, match="got a mask of shape .2, 4., wanted .4, 2."):
        layer(x, np.ones((2, 4), bool))
    with pytest.raises(TypeError, match="got a mask of float32, wanted bool"):
        layer(x, np.ones((4, 2), "float32"))


@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 3},
        {"kernel_size": (2, 3), "stride": 2, "padding": 1, "bias": False},
        {"kernel_size": 2, "dilation": (2, 1), "groups": 2, "stride": (1, 2), "padding": (0, 2)},
    ],
)
def test_conv2d(torch, options):
    x = np.random.default_rng(0).normal(size=(2, 4, 6, 7))
    parity(nn.Conv2d(4, 6, **options), torch.nn.Conv2d(4, 6, **options), x)


def test_conv2d_groups_must_divide():
    with pytest.raises(ValueError, match="groups=3 has to divide 4 and 6"):
        nn.Conv2d(4, 6, 3, groups=3)


@pytest.mark.parametrize("shape, options", [(4, {}), ((3, 4), {"eps": 1e-2}), ([4], {"bias": False})])
def test_layer_norm(torch, shape, options):
    reference = torch.nn.LayerNorm(shape, **options)
    with torch.no_grad():
        for p in reference.parameters():
            p.normal_()
    parity(nn.LayerNorm(shape, **options), reference, np.random.default_rng(0).normal(size=(2, 3, 4)))


def test_rms_norm(torch):
    x = np.random.default_rng(0).normal(size=(2, 3, 4))
    for options in ({}, {"eps": 1e-2}, {"elementwise_affine": False}):
        parity(nn.RMSNorm((3, 4), **options), torch.nn.RMSNorm((3, 4), **options), x)


def test_group_norm(torch):
    x = np.random.default_rng(0).normal(size=(2, 6, 3, 2))
    for options in ({}, {"eps": 1e-2}, {"affine": False}):
        parity(nn.GroupNorm(3, 6, **options), torch.nn.GroupNorm(3, 6, **options), x)
    with pytest.raises(ValueError, match="GroupNorm: num_groups=4 has to divide 6"):
        nn.GroupNorm(4, 6)


RUNNING = {
    "batch 1d": ("BatchNorm1d", {}, (4, 3)), "batch 1d, sequences": ("BatchNorm1d", {"momentum": None}, (4, 3, 5)),
    "batch 2d": ("BatchNorm2d", {"eps": 0.1, "momentum": 0.3}, (4, 3, 2, 5)),
    "batch 3d": ("BatchNorm3d", {"affine": False}, (4, 3, 2, 1, 2)),
    "batch, not followed": ("BatchNorm1d", {"track_running_stats": False}, (4, 3, 5)),
    "instance 1d": ("InstanceNorm1d", {}, (4, 3, 5)),
    "instance 2d": ("InstanceNorm2d", {"affine": True, "track_running_stats": True}, (4, 3, 2, 5)),
    "instance 3d": ("InstanceNorm3d", {"track_running_stats": True, "momentum": None}, (4, 3, 2, 1, 2)),
}  # fmt: skip


@pytest.mark.parametrize("jitted", [False, True])
@pytest.mark.parametrize("case", RUNNING)
def test_running_statistics_are_pytorchs(torch, case, jitted):
    """Through three steps of training, with gradients, and in eval; and the state dict is PyTorch's."""
    name, options, shape = RUNNING[case]
    ours, theirs = getattr(nn, name)(3, **options), getattr(torch.nn, name)(3, **options, dtype=torch.float64)
    ours.astype("float64")
    assert {k: v.shape for k, v in ours.state_dict().items()} == {
        k: tuple(v.shape) for k, v in theirs.state_dict().items()
    }
    layer = mg.jit(ours) if jitted else ours
    rng = np.random.default_rng(0)
    for k in range(5):
        if k == 3:
            ours.eval(), theirs.eval()
        x = rng.normal(k, k + 1, shape)
        a, b = mg.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
        y, z = layer(a), theirs(b)
        weight = rng.normal(size=shape)
        y.backward(weight)
        z.backward(torch.tensor(weight))
        np.testing.assert_allclose(y.detach().numpy(), z.detach().numpy(), rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-6, atol=1e-7)
        for key, value in theirs.state_dict().items():
            np.testing.assert_allclose(ours.state_dict()[key], value.numpy(), rtol=1e-6)


def test_batch_norm_says_what_is_wrong():
    with pytest.raises(ValueError, match=r"BatchNorm2d: got x of shape \(4, 3\), wanted 4 axes, \(N, 3, ...\)"):
        nn.BatchNorm2d(3)(np.zeros((4, 3)))
    with pytest.raises(ValueError, match=r"batch_norm: got x of shape \(1, 3\), wanted more than one value"):
        nn.BatchNorm1d(3)(np.zeros((1, 3), "float32"))
    with pytest.raises(ValueError, match="batch_norm: wanted running_mean and running_var"):
        mg.batch_norm(np.zeros((2, 3)))


# Dropout


def test_dropout_drops_scales_and_is_its_own_gradient():
    x = mg.tensor(np.full((100, 100), 3.0), requires_grad=True)
    y = nn.Dropout(0.3, generator=np.random.default_rng(0))(x)
    y.backward(np.full((100, 100), 3.0))
    kept = y.detach().numpy() != 0
    assert abs(kept.mean() - 0.7) < 5 * math.sqrt(0.3 * 0.7 / 10_000)
    np.testing.assert_allclose(y.detach().numpy(), kept * (3 / 0.7), rtol=1e-12)
    np.testing.assert_array_equal(x.grad.numpy(), y.detach().numpy())


def test_dropout_passes_through_when_it_has_nothing_to_do():
    x = mg.tensor(np.ones(3))
    assert nn.Dropout(0.5).eval()(x) is x
    assert nn.Dropout(0.0)(x) is x
    assert (nn.Dropout(1.0)(x).numpy() == 0).all()
    for p in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match="Dropout: got p=.*, wanted a number from 0 to 1"):
            nn.Dropout(p)


def test_dropout_draws_from_its_generator_or_the_default():
    x = mg.tensor(np.ones(64))

    def draw(layer):
        return layer(x).numpy().tolist()

    first, second = [nn.Dropout(generator=np.random.default_rng(1)) for _ in range(2)]
    assert draw(first) == draw(second)
    twin = copy.deepcopy(first)
    assert draw(first) == draw(second) == draw(twin)
    default = nn.Dropout()
    nn.manual_seed(5)
    a = [draw(default), draw(default)]
    draw(first)
    nn.manual_seed(5)
    assert a == [draw(default), draw(default)] and a[0] != a[1]
    nn.manual_seed(6)
    assert a[0] != draw(default)


# Initial values

N = (60, 80, 2, 2)
FANS = {"fan_in": 320, "fan_out": 240}
BOUNDS = {
    "uniform": (lambda g: init.uniform(N, 0.1, generator=g), 0.1),
    "xavier_uniform": (lambda g: init.xavier_uniform(N, 5 / 3, generator=g), 5 / 3 * math.sqrt(6 / 560)),
    "kaiming_uniform": (lambda g: init.kaiming_uniform(N, generator=g), math.sqrt(6 / 320)),
    "fan_out": (lambda g: init.kaiming_uniform(N, 1.0, "fan_out", generator=g), math.sqrt(3 / 240)),
    "linear": (lambda g: nn.Linear(100, 200, generator=g).weight.detach().numpy(), 0.1),
    "linear bias": (lambda g: nn.Linear(100, 20_000, generator=g).bias.detach().numpy(), 0.1),
    "conv2d": (lambda g: nn.Conv2d(80, 60, 2, groups=2, generator=g).weight.detach().numpy(), 160**-0.5),
    "conv2d bias": (lambda g: nn.Conv2d(4, 20_000, 5, generator=g).bias.detach().numpy(), 0.1),
}
DEVIATIONS = {
    "normal": (lambda g: init.normal(N, 0.3, generator=g), 0.3),
    "xavier_normal": (lambda g: init.xavier_normal(N, 2.0, generator=g), 2 * math.sqrt(2 / 560)),
    "kaiming_normal": (lambda g: init.kaiming_normal(N, generator=g), math.sqrt(2 / 320)),
    "fan_out": (lambda g: init.kaiming_normal(N, 1.0, "fan_out", generator=g), math.sqrt(1 / 240)),
    "embedding": (lambda g: nn.Embedding(100, 200, generator=g).weight.detach().numpy(), 1.0),
}


@pytest.mark.parametrize("name", BOUNDS)
def test_uniform_values(name):
    draw, bound = BOUNDS[name]
    values = draw(np.random.default_rng(0)).ravel().astype(float) / bound
    n = values.size
    assert 1 - 20 / n < np.abs(values).max() <= 1 + 1e-6
    assert np.abs(np.sort(values) - np.linspace(-1, 1, n)).max() < 2 * 1.95 / math.sqrt(n)  # Kolmogorov-Smirnov, 0.001


@pytest.mark.parametrize("name", DEVIATIONS)
def test_normal_values(name):
    draw, deviation = DEVIATIONS[name]
    values = draw(np.random.default_rng(0)).ravel().astype(float) / deviation
    n = values.size
    assert abs(values.mean()) < 4 / math.sqrt(n) and abs(values.std() - 1) < 4 / math.sqrt(2 * n)
    assert abs((np.abs(values) < 1).mean() - 0.6827) < 4 * 0.47 / math.sqrt(n)


@pytest.mark.parametrize("name", ["uniform", "normal"])
@pytest.mark.parametrize("kind", ["xavier", "kaiming"])
def test_scales_are_pytorchs(torch, kind, name):
    theirs = torch.empty(N, dtype=torch.float64)
    torch.manual_seed(0)
    getattr(torch.nn.init, f"{kind}_{name}_")(theirs)
    ours = getattr(init, f"{kind}_{name}")(N, generator=np.random.default_rng(0), dtype="float64")
    assert ours.std() == pytest.approx(theirs.std().item(), rel=0.03)


@given(
    shape=st.lists(st.integers(1, 6), min_size=2, max_size=4).map(tuple),
    gain=st.floats(0.1, 3),
    seed=st.integers(0, 99),
)
def test_orthogonal(shape, gain, seed):
    w = init.orthogonal(shape, gain, generator=np.random.default_rng(seed), dtype="float64")
    assert w.shape == shape
    m = w.reshape(shape[0], -1) / gain
    gram = m @ m.T if m.shape[0] <= m.shape[1] else m.T @ m
    np.testing.assert_allclose(gram, np.eye(len(gram)), atol=1e-12)


def test_orthogonal_is_uniform():
    rng = np.random.default_rng(0)
    corners = np.array([init.orthogonal((2, 2), generator=rng, dtype="float64").ravel() for _ in range(4000)])
    assert np.abs(corners.mean(0)).max() < 4 * math.sqrt(0.5 / 4000)  # without the signs of R one would be one-sided


@pytest.mark.parametrize("name", ["xavier_uniform", "xavier_normal", "kaiming_uniform", "kaiming_normal", "orthogonal"])
def test_initial_values_are_reproducible_and_want_two_axes(name):
    draw = getattr(init, name)
    a, b = [draw((4, 3), generator=np.random.default_rng(3)) for _ in range(2)]
    assert a.dtype == np.float32 and (a == b).all()
    wide = draw((4, 3), generator=np.random.default_rng(3), dtype="float64")
    assert wide.dtype == np.float64 and (wide.astype("float32") == a).all()
    nn.manual_seed(3)
    assert (draw((4, 3)) == a).all()
    for shape in [(), (3,), (0, 3)]:
        with pytest.raises(ValueError, match="at least two axes"):
            draw(shape)
    with pytest.raises(TypeError, match="got shape=3, wanted a tuple"):
        draw(3)


@pytest.mark.parametrize(
    "make",
    [lambda: nn.Linear(3, "4"), lambda: nn.Linear("4", 3), lambda: nn.Embedding(2.5, 3), lambda: nn.Conv2d(1, None, 3)],
)
def test_sizes_are_integers(make):
    with pytest.raises(TypeError, match="got .*, wanted an integer"):
        make()


def test_an_unknown_fan():
    with pytest.raises(ValueError, match="'fan_in' or 'fan_out'"):
        init.kaiming_uniform((2, 2), mode="fan")


def test_constant_slice_opens_a_gate():
    bias = nn.Parameter(np.zeros(8))
    init.constant_slice(bias, slice(2, 4), 1.0)
    assert bias.detach().numpy().tolist() == [0, 0, 1, 1, 0, 0, 0, 0] and bias.requires_grad and bias.is_leaf


class Running(nn.Module):
    """A mean that is kept and not trained, and a count."""

    def __init__(self):
        self.gain = nn.Parameter(np.ones(2, "float32"))
        self.mean = nn.Buffer(np.zeros(2, "float32"))
        self.register_buffer("count", np.array(0))

    def forward(self, x):
        if self.training:
            self.mean = (0.5 * self.mean + 0.5 * x.mean(axis=0)).detach()
            self.count = self.count + 1
        return (x - self.mean) * self.gain


def test_buffers_are_saved_and_not_trained():
    module = nn.Sequential(Running(), nn.Linear(2, 1))
    assert list(dict(module.named_buffers())) == ["0.mean", "0.count"]
    assert list(dict(module.named_parameters())) == ["0.gain", "1.weight", "1.bias"]
    x = mg.tensor([[2.0, 4.0]])
    module(x)
    assert type(module[0].mean) is nn.Buffer and module[0].count.item() == 1
    state = module.state_dict()
    assert state["0.mean"].tolist() == [1.0, 2.0] and state["0.count"] == 1
    other = copy.deepcopy(module).eval()
    module(x)
    assert module.state_dict()["0.mean"].tolist() == [1.5, 3.0] and other.state_dict()["0.mean"].tolist() == [1.0, 2.0]
    module.load_state_dict(state)
    np.testing.assert_array_equal(module.eval()(x).numpy(), other(x).numpy())
    np.testing.assert_array_equal(mg.jit(module)(x).detach().numpy(), other(x).detach().numpy())
    module.astype("float64")
    assert module[0].mean.dtype == "float64" and module[0].count.dtype == "int64"
    assert "mean float64[2]" in repr(module)


def test_a_jitted_module_reads_its_buffers_at_every_call():
    module = mg.jit(Running().eval())
    x = mg.tensor([[2.0, 4.0]])
    assert module(x).tolist() == [[2.0, 4.0]]
    module.mean = mg.tensor([1.0, 1.0])
    assert module(x).tolist() == [[1.0, 3.0]] and type(module.mean) is nn.Buffer


@pytest.mark.parametrize("wrap", [lambda m: m, mg.jit])
def test_forward_hooks_see_each_call_and_may_replace_the_result(wrap):
    inner = nn.Linear(2, 2)
    module, x = wrap(nn.Sequential(inner, mg.tanh)), mg.tensor([[1.0, 2.0]])
    plain, seen = module(x), []
    first = inner.register_forward_hook(lambda m, args, result: seen.append((m, args[0].shape)))
    second = inner.register_forward_hook(lambda m, args, result: result * 0.0)
    assert module(x).tolist() == [[0.0, 0.0]] and seen == [(inner, (1, 2))]
    second()
    np.testing.assert_array_equal(module(x).detach().numpy(), plain.detach().numpy())
    first()
    first()
    module(x)
    assert len(seen) == 2


def test_modules_in_plain_lists_and_dicts_are_found_as_in_pytorchs(torch):
    class Holder(nn.Module):
        def __init__(self):
            self.blocks = [nn.Linear(2, 2), nn.Linear(2, 2)]
            self.heads = {"a": nn.Linear(2, 1), "b": nn.Linear(2, 1)}

    theirs = torch.nn.Module()
    theirs.blocks = torch.nn.ModuleList([torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)])
    theirs.heads = torch.nn.ModuleDict({"a": torch.nn.Linear(2, 1), "b": torch.nn.Linear(2, 1)})
    ours = Holder()
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict())
