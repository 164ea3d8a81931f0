"""Arguments of public functions: what an annotation refuses, and options that are set later."""

import inspect
import math
import typing
from typing import Annotated, Literal

import numpy as np
import pytest

import minigrad as mg
from minigrad import models, nn, optim
from minigrad.arguments import Count, Finite, Fraction, Probability, Range, Size, checked, require

NUMBERS = {  # annotation: what it takes, what has the wrong type, what is out of range
    int: ([0, -3, np.int32(2)], [True, 1.0, "1", None, 1j, [1]], [2**80]),
    Size: ([1, np.int64(5)], [True, np.bool_(True), 2.0, "2", None], [0, -1, 10**30]),
    Count: ([0, 7], [False, 0.0], [-1, -(10**30)]),
    float: ([0, 1.5, -2, math.inf, np.float32(1)], [True, "1.5", None, 1j, np.ones(1)], [math.nan, 10**400]),
    Finite: ([0, 0.5, 1e300], [True, "a", [0.1]], [-1e-9, math.inf, math.nan]),
    Probability: ([0, 1, 0.5, np.float64(0.3)], [True, "0.5", None], [-0.1, 1.1, math.nan, 10**400]),
    Fraction: ([0, 0.999], [False], [1, 1.0, -0.1]),
    bool: ([True, np.bool_(False)], [0, 1, "yes", None], []),
    str: (["a"], [None, 1, b"a"], []),
    Literal["sum", "mean"]: (["sum", "mean"], [None, 3, ["sum"]], ["median"]),
    tuple[Size, Size]: ([(1, 2), [3, 4]], [3, ("a", 1), (1.0, 2)], [(1, 0), (1,), (1, 2, 3)]),
    tuple[Size, ...]: ([(), (1, 2, 3)], [3, (1, "a")], [(1, -1)]),
    Size | None: ([None, 1], ["a", True], [0]),
    Size | tuple[Size, Size]: ([1, (2, 3)], ["a", ("a", 1)], [0, (0, 1)]),
    typing.Callable[[int], int]: ([len, lambda: 0], [3, "len"], []),
    nn.Module: ([nn.Linear(1, 1)], [nn.Linear, 3], []),
    Annotated[int, Range(2, 4)]: ([2, 4], [2.0], [1, 5]),
}  # fmt: skip


@pytest.mark.parametrize("annotation", NUMBERS, ids=str)
def test_what_an_annotation_takes_and_refuses(annotation):
    taken, wrong, out_of_range = NUMBERS[annotation]

    @checked
    def f(x: annotation):  # type: ignore[valid-type]
        return x

    for value in taken:
        assert f(value) is value
    for values, error in ((wrong, TypeError), (out_of_range, ValueError)):
        for value in values:
            with pytest.raises(error, match=r"^f: got x=.*, wanted "):
                f(value)
            with pytest.raises(error, match="^g: got y="):
                require("g", "y", value, annotation)


def test_checked_leaves_the_signature_and_pythons_own_errors():
    @checked
    def f(a, b: Size = 0, *rest: Count, c: bool = True, **more: Finite):
        return a, b, rest, c, more

    assert f(1) == (1, 0, (), True, {})  # a default is not checked
    assert f("a", 2, 3, 4, c=False, d=0.5) == ("a", 2, (3, 4), False, {"d": 0.5})
    assert list(inspect.signature(f).parameters) == ["a", "b", "rest", "c", "more"]
    with pytest.raises(TypeError, match=r"f\(\) missing 1 required positional argument: 'a'"):
        f()
    with pytest.raises(ValueError, match="f: got rest=-1"):
        f(1, 2, -1)
    with pytest.raises(TypeError, match="f: got d='x'"):
        f(1, d="x")


W = nn.Parameter(np.ones(3))


def with_gradient():
    p = nn.Parameter(np.ones(3))
    p.grad = mg.tensor([3.0, 0.0, 4.0])
    return p


OPTIONS = {  # a function of one option: its right values, and its wrong ones
    **{
        f"{rule}({name})": (lambda v, rule=rule, name=name: getattr(optim, rule)([W], **{name: v}), [0.5], wrong)
        for rule, names in {
            "SGD": ["lr", "momentum", "dampening", "weight_decay"],
            "Adam": ["lr", "eps", "weight_decay"],
            "AdamW": ["lr", "eps", "weight_decay"],
            "RMSprop": ["lr", "alpha", "eps", "weight_decay", "momentum"],
            "Adagrad": ["lr", "lr_decay", "weight_decay", "initial_accumulator_value", "eps"],
        }.items()
        for name in names
        for wrong in [[-0.1, math.nan, math.inf, True, "a", None, np.ones(2), 1j]]
    },
    "SGD(nesterov)": (lambda v: optim.SGD([W], momentum=0.9, nesterov=v), [True, False], [1, "no", None]),
    "SGD(dampening), against the gradient": (lambda v: optim.SGD([W], momentum=0.9, dampening=v), [0, 1], [1.1, 2]),
    "Adam(betas)": (
        lambda v: optim.Adam([W], betas=v), [(0, 0.5), [0.9, 0.99]],
        [0.9, (0.9,), (0.9, 1.0), (-0.1, 0.9), (0.9, 0.9, 0.9), ("a", 0.9), (True, 0.9), None],
    ),
    "optimizer.lr": (lambda v: setattr(optim.SGD([W]), "lr", v), [0, 1e-3], [-1e-3, math.nan, True, "0.1", None]),
    "clip_grad_norm(max_norm)": (
        lambda v: optim.clip_grad_norm([with_gradient()], v), [0, 1.0, math.inf], [-1, math.nan, True, "1", None]
    ),
    "clip_grad_value(limit)": (
        lambda v: optim.clip_grad_value([with_gradient()], v), [0, 1.0], [-1, math.nan, True, "1", None]
    ),
    "clip_grad_norm(parameters)": (
        lambda v: optim.clip_grad_norm(v, 1.0), [W, [W], (W, W), iter([W])],
        [nn.Linear(2, 2), [], iter(()), None, 3, [nn.Linear(2, 2)], {"w": W}, np.ones(3)],
    ),
    "SGD(parameters)": (
        lambda v: optim.SGD(v), [W, [W], iter([W])], [nn.Linear(2, 2), [], None, 3, {"w": W}, [np.ones(3)], [W, W]]
    ),
    **{
        f"{name}({option})": (lambda v, name=name, option=option, rest=rest:
                              getattr(optim, name)(**{**rest, option: v}), right, wrong)
        for name, option, rest, right, wrong in [
            ("step_decay", "every", {}, [1, 10], [0, -1, 1.5, True, None, "a"]),
            ("step_decay", "gamma", {"every": 2}, [0.5], [-0.5, math.nan, True, "a"]),
            ("exponential", "gamma", {}, [0.5, 1], [-0.5, math.nan, True, None]),
            ("linear", "steps", {}, [1], [0, -1, 2.5, True, "a"]),
            ("linear", "last", {"steps": 3}, [0, 0.5], [-0.5, True]),
            ("cosine", "steps", {}, [1], [0, -1, 2.5, True]),
            ("warmup", "steps", {}, [0, 5], [-1, 2.5, True]),
            ("warmup", "then", {"steps": 3}, [optim.cosine(4)], [3, None]),
        ]
    },
    **{
        f"ReduceOnPlateau({option})": (
            lambda v, option=option: optim.ReduceOnPlateau(optim.SGD([W]), **{option: v}), right, wrong
        )
        for option, right, wrong in [
            ("factor", [0, 0.5], [1, 1.5, -0.5, math.nan, True]), ("patience", [0, 3], [-1, 1.5, True]),
            ("threshold", [0, 0.1], [-1, math.nan, True]), ("min_lr", [0, 0.1], [-1, math.nan, True]),
        ]
    },
    "ReduceOnPlateau.step": (
        lambda v: optim.ReduceOnPlateau(optim.SGD([W])).step(v), [1.0, 2, math.nan, mg.tensor(1.0)],
        [None, "a", True, mg.tensor([1.0, 2.0])],
    ),
    "Schedule(optimizer)": (lambda v: optim.Schedule(v, optim.exponential(0.5)), [optim.SGD([W])], [None, W, 3]),
    "Schedule's factor": (
        lambda v: optim.Schedule(optim.SGD([W]), lambda step: v), [0, 0.5], [-0.5, math.nan, None, "a", True]
    ),
    "Linear(in_features)": (lambda v: nn.Linear(v, 2), [0, 3, np.int64(3)], [-1, 2.0, True, "2", None, 10**30]),
    "Linear(bias)": (lambda v: nn.Linear(2, 2, bias=v), [True, False], [0, 1, "no", None]),
    "Linear(generator)": (
        lambda v: nn.Linear(2, 2, generator=v), [None, np.random.default_rng(0)], [0, np.random.RandomState(0)]
    ),
    "Embedding": (lambda v: nn.Embedding(v, 2), [0, 3], [-1, 2.0, True, "2"]),
    "Dropout": (nn.Dropout, [0, 0.5, 1], [-0.1, 1.1, True, False, "a", None, math.nan]),
    "LayerNorm(eps)": (lambda v: nn.LayerNorm(2, eps=v), [0, 1e-5], [-1, True, "a", None, np.ones(2), math.nan]),
    "LayerNorm": (nn.LayerNorm, [2, (2, 3), [2]], [0, -1, 2.0, True, "a", (2, 1.5), None]),
    "Conv2d(kernel_size)": (lambda v: nn.Conv2d(1, 2, v), [1, (2, 3), [2, 2]], [0, -1, True, 1.5, "a", (1, 2, 3)]),
    "Conv2d(padding)": (
        lambda v: nn.Conv2d(1, 2, 3, padding=v), [0, (1, 0), "same", "valid"], [-1, True, 0.5, "full", (1, 2, 3)]
    ),
    "BatchNorm": (lambda v: nn.BatchNorm1d(2, momentum=v), [0, 0.5, 1, None], [-0.1, 1.5, True, "a", math.nan]),
    "GroupNorm": (lambda v: nn.GroupNorm(v, 4), [1, 2, 4], [0, 3, -1, True, 2.0, None]),
    "LSTM(dropout)": (lambda v: models.LSTM(2, 3, dropout=v), [0, 0.5], [True, -0.1, 1.5, "a", None, math.nan]),
    "LSTM(num_layers)": (lambda v: models.LSTM(2, 3, num_layers=v), [1, 2], [0, -1, True, 1.0, "2", None]),
    "LSTM(bidirectional)": (lambda v: models.LSTM(2, 3, bidirectional=v), [True, False], [1, 0, "yes", None]),
    "RNN(nonlinearity)": (lambda v: models.RNN(2, 3, nonlinearity=v), ["tanh", "relu"], ["sin", None, 3]),
    "Zoneout(rates)": (lambda v: models.Zoneout(models.RNNCell(2, 3), v), [0.5], [True, -0.1, 1.5, "a", None]),
    "VariationalDropout": (
        lambda v: models.VariationalDropout(models.RNNCell(2, 3), v, 0.5), [0.5], [True, -0.1, 1.5, "a", None]
    ),
    "init.uniform(bound)": (lambda v: nn.init.uniform((2,), v), [0, 1], [-1, math.nan, True, "a", None]),
    "init.uniform(shape)": (lambda v: nn.init.uniform(v, 1.0), [2, (2, 0)], [-1, (2, -1), 1.5, True, "a", None]),
    "init.kaiming_normal(mode)": (lambda v: nn.init.kaiming_normal((2, 2), mode=v), ["fan_in"], ["fan", None, 3]),
    "manual_seed": (nn.manual_seed, [0, 7], [-1, 1.5, True, "a", None]),
}  # fmt: skip


@pytest.mark.parametrize("option", OPTIONS)
def test_a_wrong_value_of_an_option_is_refused_and_named(option):
    call, right, wrong = OPTIONS[option]
    for value in right:
        call(value)
    name = option.partition("(")[0].split(",")[0]
    named = {"optimizer.lr": "SGD", "Schedule's factor": "Schedule", "init.uniform": "uniform"}.get(name, name)
    for value in wrong:
        with pytest.raises((TypeError, ValueError)) as refused:
            call(value)
        assert named.removeprefix("init.") in str(refused.value), (value, str(refused.value))


def test_every_constructor_of_models_and_layers_checks_its_arguments():
    """What is annotated and has a meaning is checked: a constructor that is added and not decorated fails here."""
    classes = {
        c for m in (nn, models, optim) for c in vars(m).values() if inspect.isclass(c) and c.__init__ is not object
    }
    for c in classes:
        if issubclass(c, (nn.Module, optim.Optimizer)) and "__init__" in vars(c):
            annotations = {k for k in typing.get_type_hints(c.__init__) if k != "return"}
            assert not annotations or hasattr(c.__init__, "__wrapped__"), f"@checked is missing: {c.__name__}"


# Options that are set after construction


def test_dropout_that_is_set_later_drops():
    layer = models.LSTM(3, 4, num_layers=2)
    x = mg.tensor(np.ones((5, 2, 3), "float32"))
    before = layer(x)[0].numpy()
    layer.dropout = 1.0
    zeroed = layer(x)[0].numpy()
    assert not np.allclose(before, zeroed)
    layer.dropout = 0.5
    nn.manual_seed(0)
    first, second = [layer(x)[0].numpy() for _ in range(2)]
    assert not np.array_equal(first, second)
    layer.eval()
    np.testing.assert_array_equal(layer(x)[0].numpy(), before)
    layer.train().dropout = 0.0
    np.testing.assert_array_equal(layer(x)[0].numpy(), before)
    for wrong in (1.5, "a", True):
        layer.dropout = wrong
        with pytest.raises((ValueError, TypeError), match="dropout: got p="):
            layer(x)


def test_a_jitted_layer_sees_dropout_that_is_set_later():
    layer = models.GRU(3, 4, num_layers=2)
    fast = mg.jit(layer)
    x = mg.tensor(np.ones((5, 2, 3), "float32"))
    np.testing.assert_allclose(fast(x)[0].numpy(), layer(x)[0].numpy(), rtol=1e-5, atol=1e-6)
    layer.dropout = 1.0
    np.testing.assert_allclose(fast(x)[0].numpy(), layer(x)[0].numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["num_layers", "bidirectional", "reverse", "merge_mode", "hidden_size", "input_size"])
def test_how_a_layer_is_built_cannot_be_set_later(name):
    layer = models.LSTM(3, 4)
    with pytest.raises(AttributeError, match=f"LSTM: {name} is fixed"):
        setattr(layer, name, getattr(layer, name))


def test_a_plateau_never_raises_the_rate():
    optimizer = optim.SGD([W], lr=0.01)
    schedule = optim.ReduceOnPlateau(optimizer, factor=0.5, patience=0, min_lr=0.1)
    rates = []
    for _ in range(3):
        schedule.step(1.0)
        rates.append(optimizer.lr)
    assert rates == [0.01] * 3


def test_clipping_takes_one_tensor_as_one_parameter():
    p = with_gradient()
    assert optim.clip_grad_norm(p, 2.5) == 5.0
    np.testing.assert_allclose(p.grad.numpy(), [1.5, 0, 2], rtol=1e-5)
    optim.clip_grad_value(p, 1.0)
    np.testing.assert_array_equal(p.grad.numpy(), [1, 0, 1])


class Racing(nn.Parameter):
    """A parameter whose gradient another thread takes away between two looks at it."""

    looks = 0

    @property
    def grad(self):
        self.looks += 1
        return mg.tensor(np.ones(3)) if self.looks == 1 else None


@pytest.mark.parametrize(
    "use",
    [lambda p: optim.clip_grad_norm(p, 1.0), lambda p: optim.clip_grad_value(p, 0.5), lambda p: optim.SGD(p).step()],
)
def test_a_gradient_that_is_taken_away_meanwhile_is_no_error(use):
    use(Racing(np.ones(3)))


# Arguments by number


@pytest.mark.parametrize("transform", [mg.grad, mg.value_and_grad, mg.jacobian, mg.hessian])
def test_an_argument_is_differentiated_once(transform):
    def f(a, b):
        return (a * a * b).sum()

    a, b = mg.tensor([1.0, 2.0]), mg.tensor([3.0, 4.0])
    for twice in [(0, 0), (0, -2), (1, -1), (0, 1, 0)]:
        with pytest.raises(ValueError, match="names an argument twice"):
            transform(f, twice)(a, b)
    for wrong in ["0", 0.0, None, True, (0, "1"), (0, None)]:
        with pytest.raises(TypeError, match="argnums"):
            transform(f, wrong)(a, b)
    for outside in (2, -3, (0, 2)):
        with pytest.raises(ValueError, match="argnums"):
            transform(f, outside)(a, b)


def test_negative_argnums_count_from_the_end():
    a, b = mg.tensor(2.0), mg.tensor(3.0)
    assert mg.grad(lambda a, b: a * a * b, -1)(a, b).item() == 4.0
    assert [g.item() for g in mg.grad(lambda a, b: a * a * b, (-1, -2))(a, b)] == [4.0, 12.0]


# Names in a state dict


class Holder(nn.Module):
    def __init__(self, table):
        self.table = table


def test_two_parameters_of_one_name_are_refused():
    p, q = nn.Parameter(np.zeros(1)), nn.Parameter(np.ones(1))
    for table in ({"a.b": p, "a": {"b": q}}, {1: p, "1": q}, {"a": {"b.c": p}, "a.b": {"c": q}}):
        module = Holder(table)
        for read in (module.state_dict, lambda: list(module.named_parameters()), lambda: module.load_state_dict({})):
            with pytest.raises(ValueError, match="Holder: two parameters are called"):
                read()
    assert list(Holder({"a.b": p, "a": {"b": p}}).state_dict()) == ["table.a.b"]  # one parameter, so nothing is lost
