"""Optimizers, clipping and schedules: the same numbers as PyTorch's, and state that survives."""

import copy
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad import nn, optim
from minigrad.kernels import many, threads

SHAPES = [(3, 4), (5,), (), (0, 2)]
RULES = {
    "SGD": [
        {},
        {"lr": 0.1, "weight_decay": 0.1},
        {"momentum": 0.9},
        {"momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1},
        {"momentum": 0.8, "nesterov": True},
        {"momentum": 0.8, "nesterov": True, "weight_decay": 0.2},
    ],
    "Adam": [{}, {"lr": 0.1, "betas": (0.8, 0.95), "eps": 1e-3}, {"betas": (0.3, 0.9)}, {"weight_decay": 0.1}],
    "AdamW": [{}, {"lr": 0.1, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.3}, {"weight_decay": 0}],
    "RMSprop": [
        {},
        {"alpha": 0.7, "eps": 1e-3, "weight_decay": 0.1},
        {"momentum": 0.9},
        {"centered": True, "alpha": 0.9},
        {"centered": True, "momentum": 0.5, "weight_decay": 0.1},
    ],
    "Adagrad": [
        {},
        {"lr_decay": 0.1, "weight_decay": 0.1},
        {"initial_accumulator_value": 0.5, "eps": 1e-3},
    ],
}
CASES = [pytest.param(rule, options, id=f"{rule}-{options}") for rule in RULES for options in RULES[rule]]


def parameters(dtype="float64", seed=0):
    rng = np.random.default_rng(seed)
    return [nn.Parameter(rng.normal(size=shape).astype(dtype)) for shape in SHAPES]


def gradients(steps, dtype="float64", seed=1):
    """For each step a gradient for each parameter; None now and then."""
    rng = np.random.default_rng(seed)
    return [
        [None if rng.random() < 0.2 else rng.normal(size=shape).astype(dtype) for shape in SHAPES] for _ in range(steps)
    ]


def train(ours, optimizer, steps):
    for step in steps:
        for p, g in zip(ours, step):
            p.grad = g
        optimizer.step()


@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-12), ("float32", 1e-5)])
@pytest.mark.parametrize("rule, options", CASES)
def test_twenty_steps_are_pytorchs(torch, rule, options, dtype, tolerance):
    ours = parameters(dtype)
    theirs = [torch.nn.Parameter(torch.tensor(p.detach().numpy().copy())) for p in ours]
    optimizer, reference = getattr(optim, rule)(ours, **options), getattr(torch.optim, rule)(theirs, **options)
    for k, step in enumerate(gradients(20, dtype)):
        if k == 10:  # a schedule may set the rate at any time
            optimizer.lr *= 0.5
            reference.param_groups[0]["lr"] *= 0.5
        for p, q, g in zip(ours, theirs, step):
            p.grad = g
            q.grad = None if g is None else torch.tensor(g)
        optimizer.step()
        reference.step()
        for p, q in zip(ours, theirs):
            np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("rule", RULES)
def test_defaults_are_pytorchs(torch, rule):
    defaults = getattr(torch.optim, rule)([torch.nn.Parameter(torch.zeros(2))]).defaults
    ours = getattr(optim, rule)([nn.Parameter(np.zeros(2, "float32"))])
    for name, value in {**ours.settings, "lr": ours.lr}.items():
        names = {"beta1": ("betas", 0), "beta2": ("betas", 1), "start": "initial_accumulator_value"}
        theirs = names.get(name, name)
        assert value == (defaults[theirs[0]][theirs[1]] if isinstance(theirs, tuple) else defaults[theirs]), name


@pytest.mark.parametrize("rule, options", CASES)
def test_interrupted_and_resumed_gives_the_same_bits(rule, options):
    make = getattr(optim, rule)
    steps = gradients(8)
    whole = parameters()
    train(whole, make(whole, **options), steps)
    first = parameters()
    stopped = make(first, **options)
    train(first, stopped, steps[:4])
    second = copy.deepcopy(first)
    resumed = make(second, **{**options, "lr": 77.0})
    resumed.load_state_dict(stopped.state_dict())
    assert resumed.lr == stopped.lr
    train(second, resumed, steps[4:])
    for p, q in zip(whole, second):
        assert p.detach().numpy().tobytes() == q.detach().numpy().tobytes()


def test_state_dict_is_a_copy():
    ours = parameters()
    optimizer = optim.SGD(ours, lr=0.1, momentum=0.9)
    train(ours, optimizer, gradients(2))
    state = optimizer.state_dict()
    before = {name: np.array(value) for name, value in state.items()}
    train(ours, optimizer, gradients(2, seed=3))
    for name, value in state.items():
        np.testing.assert_array_equal(value, before[name])


def test_a_state_that_does_not_fit_changes_nothing():
    ours = parameters()
    optimizer = optim.Adam(ours)
    train(ours, optimizer, gradients(3))
    state = optimizer.state_dict()
    wrong = {**state, "lr": 5.0, "v.0": np.zeros(7), "extra": np.zeros(1)}
    del wrong["m.1"]
    with pytest.raises(
        ValueError, match=r"Adam: missing: m\.1; unexpected: extra; v\.0: got shape \(7,\), wanted \(3, 4\)"
    ):
        optimizer.load_state_dict(wrong)
    for name, value in optimizer.state_dict().items():
        np.testing.assert_array_equal(value, state[name])


def test_what_has_no_gradient_is_left_alone():
    ours = parameters()
    optimizer = optim.AdamW(ours, lr=0.1, weight_decay=0.5)
    before = [p.detach().numpy().copy() for p in ours]
    ours[0].grad = np.ones((3, 4))
    optimizer.step()
    assert optimizer.steps == [1, 0, 0, 0]
    assert (ours[0].detach().numpy() != before[0]).all()
    for p, old in zip(ours[1:], before[1:]):
        np.testing.assert_array_equal(p.detach().numpy(), old)
    optimizer.zero_grad()
    assert all(p.grad is None for p in ours)


def test_a_parameter_may_be_frozen_later():
    ours = parameters()
    optimizer = optim.Adam(ours)
    for p in ours:
        p.grad = np.ones(p.shape)
    ours[0].requires_grad_(False)
    before = ours[0].numpy().copy()
    optimizer.step()
    optimizer.zero_grad()
    np.testing.assert_array_equal(ours[0].numpy(), before)
    assert optimizer.steps == [0, 1, 1, 1] and all(p.grad is None for p in ours)


def test_update_is_in_place_and_the_tape_notices():
    w = nn.Parameter(np.array([1.0, 2.0]))
    memory = w.detach().numpy()
    loss = (w * w).sum()
    w.grad = np.ones(2)
    optim.SGD([w], lr=1.0).step()
    np.testing.assert_array_equal(memory, [0.0, 1.0])
    with pytest.raises(RuntimeError, match="changed in place"):
        loss.backward()


@given(st.lists(st.integers(0, 2 * many.BLOCK + 3), min_size=1, max_size=5), st.sampled_from(["float32", "float64"]))
@settings(max_examples=20)
def test_blocks_of_many_arrays_give_numpys_numbers_with_any_number_of_threads(sizes, dtype):
    rng = np.random.default_rng(sum(sizes))
    start, g = [[rng.normal(size=n).astype(dtype) for n in sizes] for _ in range(2)]
    results = []
    before = threads.count
    for count in (1, 2, 3):
        mg.set_num_threads(count)
        try:
            groups = [(p.copy(), x.copy()) for p, x in zip(start, g)]
            numbers = [{"rate": k + 1.0} for k in range(len(sizes))]
            many.update("test", ("p", "g"), (("p", "p - rate * g"), ("g", "2 * g + p")), groups, numbers)
            results.append(groups)
            total = many.square_sum(start)
        finally:
            mg.set_num_threads(before)
        np.testing.assert_allclose(total, sum([(p.astype("float64") ** 2).sum() for p in start]), rtol=1e-12)
    rtol = np.finfo(dtype).eps
    for k, (p, x) in enumerate(results[0]):
        np.testing.assert_allclose(p, start[k] - (k + 1) * g[k], rtol=4 * rtol, atol=16 * rtol * (k + 1))
        np.testing.assert_allclose(x, 2 * g[k] + start[k], rtol=4 * rtol, atol=16 * rtol)
    for other in results[1:]:
        for one, two in zip(results[0], other):
            np.testing.assert_array_equal(one, two)


def test_strided_parameters_and_gradients():
    n = 600
    rng = np.random.default_rng(0)
    start, g = rng.normal(size=(n, n)), rng.normal(size=(n, n))
    w = mg.tensor(start).T.requires_grad_()
    assert not w._data.flags.c_contiguous
    w.grad = mg.tensor(g).T
    optim.SGD([w], lr=0.5, momentum=0.9).step()
    np.testing.assert_array_equal(w.detach().numpy(), (start - 0.5 * g).T)


def test_a_parameter_that_is_read_only_is_refused():
    w = nn.Parameter(np.ones((2, 3)))
    w.grad = mg.tensor(np.ones((2, 3)))
    w._data.flags.writeable = False
    with pytest.raises(ValueError, match=r"SGD: got an array float64\[2, 3\] that is read-only"):
        optim.SGD([w]).step()


@pytest.mark.parametrize("rule", RULES)
def test_it_descends(rule):
    w = nn.Parameter(np.array([3.0, -2.0]))
    optimizer = getattr(optim, rule)([w], lr=0.05)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = (w * w * np.array([1.0, 3.0])).sum()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses == sorted(losses, reverse=True) and losses[-1] < 0.97 * losses[0]


def test_what_is_refused():
    w = nn.Parameter(np.zeros(2))
    with pytest.raises(ValueError, match="no parameters"):
        optim.SGD([])
    with pytest.raises(ValueError, match="given twice"):
        optim.SGD([w, w])
    with pytest.raises(TypeError, match="leaf tensors that require a gradient"):
        optim.SGD([mg.tensor([1.0])])
    with pytest.raises(TypeError, match="leaf tensors that require a gradient"):
        optim.SGD([w * 2])
    for bad in ({"lr": -1.0}, {"lr": math.nan}, {"eps": -1.0}, {"betas": (0.9, 1.0)}, {"betas": (-0.1, 0.9)}):
        with pytest.raises(ValueError, match=rf"Adam: got {next(iter(bad))}=.*, wanted a"):
            optim.Adam([w], **bad)
    for module in (nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 2))):
        with pytest.raises(TypeError, match=r"Adam: got a module, pass module.parameters\(\)"):
            optim.Adam(module)
    for bad, value in {"lr": "a", "eps": None, "weight_decay": [0.1]}.items():
        with pytest.raises(TypeError, match=rf"Adam: got {bad}=.*, wanted a number"):
            optim.Adam([w], **{bad: value})
    with pytest.raises(ValueError, match="nesterov wants a momentum"):
        optim.SGD([w], nesterov=True)
    assert repr(optim.SGD([w], lr=0.5)) == "SGD(1 parameters, lr=0.5, momentum=0.0, dampening=0.0, weight_decay=0.0)"


# Clipping


@given(st.floats(0.01, 100), st.integers(0, 1000))
def test_clipping_by_norm_is_pytorchs(torch, max_norm, seed):
    ours = parameters()
    step = gradients(1, seed=seed)[0]
    theirs = [torch.nn.Parameter(torch.zeros(shape, dtype=torch.float64)) for shape in SHAPES]
    for p, q, g in zip(ours, theirs, step):
        p.grad = None if g is None else g.copy()
        q.grad = None if g is None else torch.tensor(g)
    norm = optim.clip_grad_norm(ours, max_norm)
    assert norm == pytest.approx(torch.nn.utils.clip_grad_norm_(theirs, max_norm).item(), rel=1e-12)
    assert norm == pytest.approx(math.sqrt(sum((g**2).sum() for g in step if g is not None)), rel=1e-12)
    for p, q in zip(ours, theirs):
        assert (p.grad is None) == (q.grad is None)
        if p.grad is not None:
            np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-12)


def test_clipping_by_norm_of_what_is_not_finite():
    for bad in (np.nan, np.inf):
        p, q = nn.Parameter(np.zeros(2)), nn.Parameter(np.zeros(1))
        p.grad, q.grad = np.array([bad, 1.0]), np.array([2.0])
        with pytest.raises(RuntimeError, match=f"norm of the gradients is {bad}"):
            optim.clip_grad_norm([p, q], 1.0, error_if_nonfinite=True)
        assert q.grad.item() == 2.0
        np.testing.assert_equal(optim.clip_grad_norm([p, q], 1.0), bad)
        np.testing.assert_equal(q.grad.item(), np.nan if np.isnan(bad) else 0.0)


def test_norm_of_float32_does_not_overflow():
    p = nn.Parameter(np.zeros(4, "float32"))
    p.grad = np.full(4, 1e30, "float32")
    assert optim.clip_grad_norm([p], 2.0) == pytest.approx(2e30, rel=1e-6)
    np.testing.assert_allclose(p.grad.numpy(), 1.0, rtol=1e-6)


def test_clipping_by_value():
    p, q = nn.Parameter(np.zeros(4)), nn.Parameter(np.zeros(4))
    p.grad = np.array([-5.0, 0.5, np.nan, np.inf])
    optim.clip_grad_value([p, q], 2.0)
    np.testing.assert_array_equal(p.grad.numpy(), [-2.0, 0.5, np.nan, 2.0])
    assert q.grad is None


# Schedules

FACTORS = {
    "step": (optim.step_decay(3, 0.5), lambda s, o: s.StepLR(o, 3, 0.5)),
    "exponential": (optim.exponential(0.9), lambda s, o: s.ExponentialLR(o, 0.9)),
    "linear": (optim.linear(10, 0.2), lambda s, o: s.LinearLR(o, 1.0, 0.2, 10)),
    "cosine": (optim.cosine(20), lambda s, o: s.CosineAnnealingLR(o, 20)),
    "warmup": (optim.warmup(5), lambda s, o: s.LinearLR(o, 0.2, 1.0, 4)),
}


@pytest.mark.parametrize("name", FACTORS)
def test_schedules_are_pytorchs(torch, name):
    factor, reference = FACTORS[name]
    ours = optim.SGD([nn.Parameter(np.zeros(1))], lr=0.3)
    theirs = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.3)
    schedule, reference = optim.Schedule(ours, factor), reference(torch.optim.lr_scheduler, theirs)
    for _ in range(20):
        assert ours.lr == pytest.approx(theirs.param_groups[0]["lr"], rel=1e-9, abs=1e-15)
        schedule.step()
        theirs.step()
        reference.step()


def test_cosine_after_warmup():
    factor = optim.warmup(10, optim.cosine(100, last=0.1))
    rates = [factor(k) for k in range(150)]
    assert rates[0] == 0.1 and rates[9] == rates[10] == 1.0
    assert rates[10:111] == sorted(rates[10:111], reverse=True)
    assert rates[60] == pytest.approx(0.55) and rates[110:] == [pytest.approx(0.1)] * 40


def test_schedule_resumes():
    factor = optim.cosine(50)
    first = optim.SGD([nn.Parameter(np.zeros(1))], lr=0.3)
    schedule = optim.Schedule(first, factor)
    for _ in range(7):
        schedule.step()
    second = optim.SGD([nn.Parameter(np.zeros(1))], lr=9.0)
    resumed = optim.Schedule(second, factor)
    resumed.load_state_dict(schedule.state_dict())
    assert second.lr == first.lr != 0.3
    schedule.step(), resumed.step()
    assert second.lr == first.lr


def test_plateau_is_pytorchs(torch):
    ours = optim.SGD([nn.Parameter(np.zeros(1))], lr=1.0)
    theirs = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    options = {"factor": 0.5, "patience": 2, "min_lr": 0.1}
    schedule = optim.ReduceOnPlateau(ours, **options)
    reference = torch.optim.lr_scheduler.ReduceLROnPlateau(theirs, **options)
    losses = [5, 4, 4, 4, 4, 4, 3.9999, 3.9, 4, 5, 6, 7, math.nan, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3]
    for k, loss in enumerate(losses):
        if k == 11:
            state, ours.lr = schedule.state_dict(), 7.0
            schedule = optim.ReduceOnPlateau(ours, **options)
            schedule.load_state_dict(state)
        schedule.step(loss)
        reference.step(loss)
        assert ours.lr == pytest.approx(theirs.param_groups[0]["lr"]), k
    assert ours.lr == 0.1


@pytest.mark.parametrize("rule", ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad"])
def test_groups_of_parameters_have_rates_and_decays_of_their_own_as_in_pytorch(torch, rule):
    start = [np.random.default_rng(k).normal(size=3) for k in range(3)]
    ours = [nn.Parameter(a) for a in start]
    theirs = [torch.nn.Parameter(torch.tensor(a)) for a in start]

    def groups(p):
        return [
            {"params": p[:1]},
            {"params": p[1], "lr": 0.2},
            {"params": iter(p[2:]), "lr": 0.01, "weight_decay": 0.3},
        ]

    options = {"lr": 0.05, "weight_decay": 0.1}
    optimizer, reference = (
        getattr(optim, rule)(groups(ours), **options),
        getattr(torch.optim, rule)(groups(theirs), **options),
    )
    schedule = optim.Schedule(optimizer, optim.exponential(0.5))
    halving = torch.optim.lr_scheduler.ExponentialLR(reference, 0.5)
    for _ in range(4):
        for p, q in zip(ours, theirs):
            p.grad, q.grad = mg.sin(p.detach()), torch.sin(q.detach())
        for each in (optimizer, reference, schedule, halving):
            each.step()
        if rule == "Adam":
            optimizer = copy.deepcopy((optimizer, schedule))  # with its groups
            (optimizer, schedule), ours = optimizer, optimizer[0].parameters
    for p, q in zip(ours, theirs):
        np.testing.assert_allclose(p.numpy(), q.detach().numpy(), rtol=1e-10)


def test_groups_that_are_none_are_refused():
    w, b = nn.Linear(2, 1).parameters()
    for wrong, kind, text in [
        ([{"params": w}, b], TypeError, "among groups, wanted dicts with params"),
        ([{"lr": 1.0}], TypeError, "wanted dicts with params"),
        ([{"params": [w]}, {"params": [w]}], ValueError, "given twice"),
        ([{"params": w, "momentum": 0.9}], ValueError, "momentum.*use two optimizers"),
        ([{"params": w, "lr": -1.0}], ValueError, "lr of a group"),
        ([{"params": w, "weight_decay": "a"}], TypeError, "weight_decay of a group"),
        ([{"params": []}], ValueError, "no parameters"),
    ]:
        with pytest.raises(kind, match=f"SGD: .*{text}"):
            optim.SGD(wrong, lr=0.1)
    with pytest.raises(ValueError, match="in proportion to lr, and that is 0"):
        optim.SGD([{"params": w, "lr": 0.1}], lr=0.0)
