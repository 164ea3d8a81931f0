"""How everything public is called, as it should be: for test_public_table.py."""

import inspect
import math
import tempfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np

import minigrad as mg
import minigrad.models as models
from minigrad import io, nn, optim
from minigrad.ops.pointwise import Elementwise
from minigrad.ops.table import composites, table
from minigrad.testing import Draw

BIG = np.arange(6.0).reshape(2, 3)


class First(Draw):
    """The first of what an op's sample may draw: no Hypothesis, one call."""

    def __init__(self):
        self.rng, self.used = np.random.default_rng(0), set()

    def draw(self, strategy):
        return np.random.default_rng(0)  # a seed; all else is overridden

    def shape(self, min_dims=0, max_dims=3, max_side=4):
        return (2, 3, 2)[: max(min_dims, min(max_dims, 2))]

    def axes(self, ndim):
        return None

    def axis(self, ndim):
        return ndim - 1

    def boolean(self):
        return True

    def choice(self, options):
        return options[0]

    def integer(self, low, high):
        return low

    def permutation(self, n):
        return tuple(range(n))[::-1]


def tensor(*shape, dtype="float32"):
    return mg.tensor(np.linspace(0.1, 0.9, max(1, math.prod(shape)))[: math.prod(shape)].reshape(shape).astype(dtype))


def parameter():
    p = nn.Parameter(np.ones(3, "float32"))
    p.grad = mg.tensor(np.ones(3, "float32"))
    return p


def loss(x):
    return (x * x).sum()


def added(carry, x):
    return carry + x, carry


def twice():
    """A condition that holds twice, so that a loop without a bound ends as well."""
    left = [True, True, False]
    return lambda carry: left.pop(0)


def small_cell():
    return models.RNNCell(1, 2)


def saved():
    io.save("tensors", {"x": np.ones(2)})
    return "tensors"


def saved_checkpoint():
    io.save_checkpoint("checkpoint", model=nn.Linear(2, 2))
    return "checkpoint"


def integers(*shape):
    return mg.tensor(np.arange(math.prod(shape)).reshape(shape) % 3)


# How to call what has no sample: a function without arguments that gives (args, kwargs).
CALLS = {
    "sweep": lambda: ([figures, {"k": [1]}, tempfile.mkdtemp(), ThreadPoolExecutor(1)], {}),
    "tensor": lambda: ([[1.0, 2.0]], {"dtype": "float32", "requires_grad": True}),
    "clip": lambda: ([tensor(3), 0.2, 0.5], {}),
    "einsum": lambda: (["ij,jk->ik", tensor(2, 3), tensor(3, 2)], {}),
    "straight_through": lambda: ([tensor(3), tensor(3)], {}),
    "full": lambda: ([(2, 3), 1.0], {"dtype": "float32", "requires_grad": True}),
    "full_like": lambda: ([tensor(2, 3), 1.0], {"dtype": "float32", "requires_grad": True}),
    **{name: lambda: ([(2, 3)], {"dtype": "float32", "requires_grad": True}) for name in ("zeros", "ones")},
    **{
        name: lambda: ([tensor(2, 3)], {"dtype": "float32", "requires_grad": True})
        for name in ("zeros_like", "ones_like")
    },
    "arange": lambda: ([1, 5, 2], {"dtype": "float32", "requires_grad": True}),
    "eye": lambda: ([3, 2], {"k": 1, "dtype": "float32", "requires_grad": True}),
    "grad": lambda: ([loss], {"argnums": 0, "has_aux": False}),
    "value_and_grad": lambda: ([loss], {"argnums": 0, "has_aux": False}),
    "jacobian": lambda: ([loss], {"argnums": 0}),
    "hessian": lambda: ([loss], {"argnums": 0}),
    "vjp": lambda: ([loss, tensor(3)], {"has_aux": False}),
    "jvp": lambda: ([loss, [tensor(3)], [tensor(3)]], {}),
    "hvp": lambda: ([loss, [tensor(3)], [tensor(3)]], {}),
    **{
        f"random.{name}": lambda args=args: (args, {"generator": np.random.default_rng(0)})
        for name, args in {
            "uniform": [(2, 3), 0.0, tensor(3)], "normal": [(2, 3), 0.0, tensor(3)], "exponential": [(2, 3), tensor(3)],
            "gumbel": [(2, 3)], "bernoulli": [tensor(3), (2, 3)], "categorical": [tensor(2, 3), 0],
            "integers": [0, 5, (2,)], "permutation": [3],
        }.items()
    },
    "tree.flatten": lambda: ([{"a": [1.0]}], {}),
    "tree.unflatten": lambda: ([{"a": [...]}, [1.0]], {}),
    "tree.map": lambda: ([lambda x, y: x, {"a": [1.0]}, {"a": [2.0]}], {}),
    "tree.names": lambda: ([{"a": [1.0]}], {"name": "x"}),
    "check_cell": lambda: ([small_cell()], {"seed": 0}),
    "shapes": lambda: ([], dict(min_dims=0, max_dims=3, min_side=1, max_side=4)),
    "broadcastable_shapes": lambda: ([2], dict(min_side=1, max_side=4, max_dims=3)),
    **{
        name: lambda: ([(2, 3)], dict(dtype="float64", low=-2.0, high=2.0, away=(0.0,)))
        for name in ("arrays", "tensors")
    },
    **dict.fromkeys(["seeds", "tracing", "detect_anomaly"], lambda: ([], {})),
    "spread": lambda: ([np.random.default_rng(0), (2,)], {"low": -1.0, "high": 1.0}),
    "mg.export": lambda: ([loss, (BIG,), "model.onnx"], {"kwargs": None, "dynamic_axes": None, "output_names": None}),
    "io.save": lambda: (["new", {"x": np.ones(2)}], {"metadata": None}),
    "io.load": lambda: ([saved()], {}),
    "io.save_checkpoint": lambda: (["run"], {"position": None, "model": nn.Linear(2, 2)}),
    "io.load_checkpoint": lambda: ([saved_checkpoint()], {"model": nn.Linear(2, 2)}),
    "summary": lambda: ([nn.Linear(2, 3), tensor(1, 2)], {}),
    "profile": lambda: ([], {"tasks": False, "memory": False}),
    "inspect_kernel": lambda: ([mg.tanh, "float32"], {}),
    "viz.show_step": lambda: ([added, tensor(2), tensor(4, 2)], {}),
    "check_step": lambda: ([added, np.ones(2), np.ones((4, 2))], {"seed": 0}),
    "viz.show": lambda: ([loss, tensor(3)], {}),
    "viz.trace": lambda: ([loss, tensor(3)], {}),
    "viz.Tape": lambda: ([loss(nn.Parameter(BIG))], {}),
    "vmap": lambda: ([loss], {"in_axes": 0, "out_axes": 0}),
    "functional_call": lambda: ([nn.Linear(2, 3), {"bias": tensor(3)}, tensor(1, 2)], {}),
    "scan": lambda: ([added, tensor(2), tensor(4, 2)], {"length": 4, "reverse": False}),
    "cond": lambda: ([True, loss, loss, tensor(3)], {}),
    "switch": lambda: ([1, [loss, loss], tensor(3)], {}),
    "while_loop": lambda: ([twice(), lambda carry: carry, tensor(3)], {"bound": 2}),
    "checkpoint": lambda: ([loss], {}),
    "custom_vjp": lambda: ([loss], {}),
    "jit": lambda: ([loss], {"checkpoint": 2}),
    "set_num_threads": lambda: ([2], {}),
    "Parameter": lambda: ([np.ones(3)], {"requires_grad": True}),
    "pad_sequence": lambda: ([[tensor(2, 3), tensor(4, 3)]], {"batch_first": False, "padding_value": 0.0}),
    "unpad_sequence": lambda: ([tensor(4, 2, 3), [4, 2]], {"batch_first": False}),
    "pack_padded_sequence": lambda: ([tensor(4, 2, 3), [4, 2]], {"batch_first": False}),
    "pack_sequence": lambda: ([[tensor(2, 3), tensor(4, 3)]], {}),
    "pad_packed_sequence": lambda: ([packed()], {"batch_first": False, "padding_value": 0.0}),
    "unpack_sequence": lambda: ([packed()], {}),
    "from_dlpack": lambda: ([BIG], {}),
    "Buffer": lambda: ([np.ones(3)], {}),
    "Linear": lambda: ([2, 3], {"bias": True, "generator": None}),
    "Embedding": lambda: ([2, 3], {"padding_idx": 1, "generator": None}),
    "TimeDistributed": lambda: ([nn.Linear(2, 3)], {}),
    "Conv2d": lambda: ([2, 4, 3], dict(stride=1, padding=0, dilation=1, groups=2, bias=True, generator=None)),
    **{
        f"Conv{n}d": lambda: ([2, 4, 3], dict(stride=1, padding=0, dilation=1, groups=2, bias=True, generator=None))
        for n in (1, 3)
    },
    **{
        f"{kind}Norm{n}d": lambda: (
            [2], {"eps": 1e-5, "momentum": 0.1, "affine": True, "track_running_stats": True}
        )
        for kind in ("Batch", "Instance") for n in (1, 2, 3)
    },
    "GroupNorm": lambda: ([2, 4], {"eps": 1e-5, "affine": True}),
    "RMSNorm": lambda: ([3], {"eps": 1e-5, "elementwise_affine": True}),
    "LayerNorm": lambda: ([3], {"eps": 1e-5, "bias": True}),
    "Dropout": lambda: ([0.5], {"generator": None}),
    "manual_seed": lambda: ([0], {}),
    "uniform": lambda: ([(2, 3), 1.0], {"generator": None, "dtype": "float32"}),
    "constant_slice": lambda: ([nn.Parameter(np.ones(3)), slice(0, 1), 1.0], {}),
    "fans": lambda: ([(2, 3)], {}),
    "fan": lambda: ([(2, 3), "fan_in"], {}),
    **{
        name: lambda: ([(2, 3), 1.0], {"generator": None, "dtype": "float32"})
        for name in ("normal", "xavier_uniform", "xavier_normal", "kaiming_uniform", "kaiming_normal", "orthogonal")
    },
    "SGD": lambda: ([[parameter()]], dict(lr=0.1, momentum=0.9, dampening=0.0, weight_decay=0.0, nesterov=True)),
    "Adam": lambda: ([[parameter()]], dict(lr=0.1, betas=(0.9, 0.99), eps=1e-8, weight_decay=0.0)),
    "AdamW": lambda: ([[parameter()]], dict(lr=0.1, betas=(0.9, 0.99), eps=1e-8, weight_decay=0.0)),
    "RMSprop": lambda: (
        [[parameter()]], dict(lr=0.1, alpha=0.9, eps=1e-8, weight_decay=0.0, momentum=0.5, centered=True)
    ),
    "Adagrad": lambda: (
        [[parameter()]], dict(lr=0.1, lr_decay=0.0, weight_decay=0.0, initial_accumulator_value=0.1, eps=1e-8)
    ),
    "ReduceOnPlateau": lambda: (
        [optim.SGD([parameter()])], dict(factor=0.1, patience=3, threshold=1e-4, min_lr=0.0)
    ),
    "Schedule": lambda: ([optim.SGD([parameter()]), optim.cosine(3)], {}),
    "clip_grad_norm": lambda: ([[parameter()], 1.0], {"error_if_nonfinite": False}),
    "clip_grad_value": lambda: ([[parameter()], 1.0], {}),
    "cosine": lambda: ([3], {"last": 0.0}),
    "linear": lambda: ([3], {"last": 0.0}),
    "exponential": lambda: ([0.5], {}),
    "step_decay": lambda: ([3], {"gamma": 0.5}),
    "warmup": lambda: ([3], {"then": optim.cosine(3)}),
    "gradcheck": lambda: (
        [loss, [np.ones(2)]], dict(eps=1e-5, rtol=1e-6, atol=1e-8, second_order=False, seed=0)
    ),
    "Trainer": lambda: (
        [layer := nn.Linear(2, 2), optim.SGD(layer.parameters()), loss, lambda step: (tensor(2),)],
        dict(
            steps=3, out="run", every=2, evaluate=dict, figure="", best_on="", schedule=optim.cosine(3), clip=1.0,
            accumulate=2, ema=0.9, parts={"noise": np.random.default_rng(0)}, settings={"a": 1}, unit="steps", size=1,
        ),
    ),
    "EMA": lambda: ([nn.Linear(2, 2)], {"decay": 0.5}),
    "Batches": lambda: ([4, 2], dict(lengths=[1, 2, 3, 4], pool=2, seed=0)),
    "EarlyStopping": lambda: ([], dict(figure="loss", patience=2, by=0.1)),
    "Division": lambda: ([4], {"terms": len, "trial": None}),
    "DataParallel": lambda: ([nn.Linear(2, 1)], {}),
    "all_reduce": lambda: ([np.ones(2)], {"op": "max"}),
    "share": lambda: ([5], {}),
    "rank": lambda: ([], {}),
    "distributed.size": lambda: ([], {}),
    "training.pad": lambda: ([[[1.0], [2.0, 3.0]]], {"value": 0.5}),
    # models: constructors get what their parameters' names mean
    "Recurrent": lambda: (
        [models.GRUCell, 2, 4],
        dict(num_layers=2, bidirectional=True, batch_first=False, dropout=0.1, merge_mode="sum", generator=None),
    ),
    "Zoneout": lambda: ([models.GRUCell(2, 3), 0.5], {"generator": None}),
    "VariationalDropout": lambda: ([models.GRUCell(2, 3), 0.5, 0.5], {"generator": None}),
    "RecurrentDropout": lambda: ([models.GRUCell(2, 3), 0.5], {"generator": None}),
    "Captioner": lambda: ([models.convolutions(1, 2), (1, 8, 8), 5, 3, 4], {"start": 0, "end": 1}),
    "Tagger": lambda: ([nn.Embedding(5, 3), 4, 3], {"crf": None, "dropout": 0.1, "num_layers": 1, "generator": None}),
    "CRF": lambda: ([3], {"forbidden": [(0, 1)], "generator": None}),
    "bio_forbidden": lambda: ([["O", "B-x", "I-x"]], {}),
    "ctc_loss": lambda: (
        [mg.log_softmax(tensor(5, 2, 4)), mg.tensor([[1, 2], [2, 1]])],
        dict(input_lengths=[5, 4], target_lengths=[2, 1], blank=0, reduction="mean", zero_infinity=True),
    ),
    "ctc_greedy": lambda: ([tensor(5, 2, 4)], {"input_lengths": [5, 4], "blank": 0}),
    "ctc_beam": lambda: ([tensor(5, 2, 4)], {"input_lengths": [5, 4], "width": 3, "blank": 0}),
    "doubly_stochastic": lambda: ([tensor(5, 3, 2)], {}),
    "gradient_flow": lambda: ([models.RNNCell(2, 3), tensor(4, 1, 2), lambda y: y.sum()], {"state": tensor(1, 3)}),
    "forest": lambda: ([[[-1]]], {}),
    "convolutions": lambda: ([1, 2], {"generator": None}),
}  # fmt: skip
BY_NAME = {  # of a constructor's parameters without a default
    "input_size": 2, "hidden_size": 4, "kernel_size": 3, "depth": 2, "arity": 2, "query_size": 3, "memory_size": 3,
    "latent_size": 2, "words": 5, "aspects": 2, "classes": 2, "embedding": 3, "hidden": 4, "vocabulary": 5, "rows": 4,
    "columns": 4, "dimensions": 2, "regions": 4, "features": 3, "sources": 5, "targets": 5, "cell": models.GRUCell,
    "hidden_sizes": (2, 3), "characters": 5, "word_size": 3, "character_size": 2, "character_hidden": 2, "num_tags": 3,
    "encoder": None, "image": (1, 8, 8), "forgets": 1, "children": 1,
}  # fmt: skip


def figures(folder, k):
    return {"k": k}


NOT_FUNCTIONS = {  # public, and not called from the table, each for a reason
    **dict.fromkeys(["Cell", "Hook", "Module", "Optimizer"], "a base class: its subclasses are in the table"),
    **dict.fromkeys(
        [
            "Forest",
            "Steps",
            "Report",
            "Result",
            "InnerLoop",
            "KernelReport",
            "Page",
            "LearningRates",
            "Stream",
            "PackedSequence",
        ],
        "a result: not made by users",
    ),
    **dict.fromkeys(["RunError", "Stopped"], "an error"),
    **dict.fromkeys(["CSV", "Curves", "Progress", "TensorBoard"], "takes nothing that can be wrong"),
    "Tensor": "made by mg.tensor; its methods are in METHODS",
    "Sequential": "takes modules and nothing else",
    "Draw": "of Hypothesis's `data` alone",
    "draw_flow": "draws what gradient_flow gives",
    "take_step": "calls the cell that it is given",
    "watch": "takes whatever it is given",
    "dropped": "takes whatever it is given",
}


def of_class(c):
    """Arguments for a constructor: those of BY_NAME, and the defaults."""
    args, kwargs = [], {}
    for p in list(inspect.signature(c).parameters.values()):
        if p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL):
            continue
        if p.default is p.empty:
            args.append(BY_NAME[p.name])
        else:
            kwargs[p.name] = p.default
    return args, kwargs


def of_op(name):
    op, draw = table.get(name), First()
    if isinstance(op, Elementwise):
        inputs = [draw.mask((2, 3)) if n in op.booleans else draw.array((2, 3), *op.domain[n]) for n in op.inputs]
        return inputs, {}
    *inputs, params = (op or composites[name]).sample(draw)
    return inputs, params


def crf():
    return models.CRF(3)


def seq2seq():
    return models.Seq2Seq(5, 5, 3, 4)


def tagger():
    return models.Tagger(nn.Embedding(5, 3), 4, 3, models.CRF(3))


def packed():
    return nn.pack_padded_sequence(tensor(4, 2, 3), [4, 2])


SEQUENCE = {"lengths": [4, 2]}
METHODS = {  # what is called on an object: (the name in errors, a function that makes the bound method, how to call it)
    "jit(f).explain": ("explain", lambda: mg.jit(loss).explain, lambda: ([tensor(3)], {})),
    "t.backward": (
        "backward",
        lambda: loss(nn.Parameter(BIG)).backward,
        lambda: ([np.ones(())], {"retain_graph": False, "create_graph": False}),
    ),
    "t.copy_": ("copy_", lambda: mg.tensor(BIG).copy_, lambda: ([BIG], {})),
    "t[i] = v": ("setitem", lambda: mg.tensor(BIG).__setitem__, lambda: ([(0, [1, 2]), np.ones(2)], {})),
    "t[i]": ("getitem", lambda: mg.tensor(BIG).__getitem__, lambda: ([(0, [1, 2])], {})),
    "t.grad": ("grad", lambda: lambda value: setattr(nn.Parameter(BIG), "grad", value), lambda: ([BIG], {})),
    "t.requires_grad_": ("requires_grad_", lambda: mg.tensor(BIG).requires_grad_, lambda: ([True], {})),
    "t.register_hook": ("register_hook", lambda: nn.Parameter(BIG).register_hook, lambda: ([lambda g: g], {})),
    "module.astype": ("astype", lambda: nn.Linear(2, 2).astype, lambda: (["float64"], {})),
    "module.register_buffer": (
        "register_buffer", lambda: nn.Linear(2, 2).register_buffer, lambda: (["mean", BIG], {}),
    ),
    "module.register_forward_hook": (
        "register_forward_hook", lambda: nn.Linear(2, 2).register_forward_hook, lambda: ([loss], {}),
    ),
    "module.load_state_dict": (
        "load_state_dict",
        lambda: nn.Linear(2, 2).load_state_dict,
        lambda: ([nn.Linear(2, 2).state_dict()], {"strict": True}),
    ),
    "optimizer.load_state_dict": (
        "load_state_dict",
        lambda: optim.SGD([parameter()]).load_state_dict,
        lambda: ([optim.SGD([parameter()]).state_dict()], {}),
    ),
    "ReduceOnPlateau.step": (
        "ReduceOnPlateau",
        lambda: optim.ReduceOnPlateau(optim.SGD([parameter()])).step,
        lambda: ([1.0], {}),
    ),
    **{
        f"{name}()": (
            name,
            lambda layer=layer: layer,
            lambda state=state: ([tensor(4, 2, 2), state()], {**SEQUENCE, "return_states": True}),
        )
        for name, layer, state in [
            ("LSTM", models.LSTM(2, 3), lambda: (tensor(1, 2, 3), tensor(1, 2, 3))),
            ("GRU", models.GRU(2, 3), lambda: tensor(1, 2, 3)),
        ]
    },
    "GRU(mask)": ("GRU", lambda: models.GRU(2, 3), lambda: ([tensor(4, 2, 2)], {"mask": np.ones((4, 2), bool)})),
    "GRUCell()": ("GRUCell", lambda: models.GRUCell(2, 3), lambda: ([tensor(2, 2), tensor(2, 3)], {})),
    "BahdanauAttention()": (
        "BahdanauAttention",
        lambda: models.BahdanauAttention(2, 2, 3),
        lambda: ([tensor(2, 2), tensor(4, 2, 2)], {"mask": np.ones((4, 2), bool)}),
    ),
    "CRF()": ("CRF", crf, lambda: ([tensor(4, 2, 3), integers(4, 2)], SEQUENCE)),
    **{
        f"CRF.{method}": ("CRF", lambda method=method: getattr(crf(), method), lambda: ([tensor(4, 2, 3)], SEQUENCE))
        for method in ("log_partition", "marginals", "decode")
    },
    "Seq2Seq()": ("Seq2Seq", seq2seq, lambda: ([integers(4, 2), integers(3, 2)], SEQUENCE)),
    "Seq2Seq.greedy": ("Seq2Seq", lambda: seq2seq().greedy, lambda: ([integers(4, 2)], {**SEQUENCE, "max_length": 3})),
    "Seq2Seq.beam": (
        "Seq2Seq",
        lambda: seq2seq().beam,
        lambda: ([integers(4, 2)], {**SEQUENCE, "width": 2, "max_length": 3, "length_penalty": 0.5}),
    ),
    "Tagger()": ("Tagger", tagger, lambda: ([integers(4, 2)], SEQUENCE)),
    "Tagger.loss": ("Tagger", lambda: tagger().loss, lambda: ([integers(4, 2), integers(4, 2)], SEQUENCE)),
    "Tagger.decode": ("Tagger", lambda: tagger().decode, lambda: ([integers(4, 2)], SEQUENCE)),
    "DocumentClassifier()": (
        "DocumentClassifier",
        lambda: models.DocumentClassifier(5, 3, 4, 2),
        lambda: ([integers(4, 3, 2)], {"lengths": np.full((3, 2), 2)}),
    ),
    "AspectClassifier()": (
        "AspectClassifier",
        lambda: models.AspectClassifier(5, 3, 2, 3, 4),
        lambda: ([integers(4, 2), integers(2)], SEQUENCE),
    ),
    "DRAW()": ("DRAW", lambda: models.DRAW(4, 4, 2, 3), lambda: ([tensor(2, 4, 4), tensor(3, 2, 2)], {})),
    "VRNN()": ("VRNN", lambda: models.VRNN(2, 3, 4), lambda: ([tensor(4, 2, 2), tensor(4, 2, 3)], {})),
    "STORN()": ("STORN", lambda: models.STORN(2, 3, 4), lambda: ([tensor(4, 2, 2), tensor(4, 2, 3)], {})),
    "EncoderForecaster()": (
        "EncoderForecaster",
        lambda: models.EncoderForecaster(1, (2,), 3),
        lambda: ([tensor(2, 1, 1, 3, 3), 2], {}),
    ),
    "FramePredictor()": (
        "FramePredictor",
        lambda: models.FramePredictor(1, (2,), 3),
        lambda: ([tensor(2, 1, 1, 3, 3), 2], {}),
    ),
}  # fmt: skip
