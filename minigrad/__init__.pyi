# Written by `python tests/stubs.py` from the package itself; do not edit.

from minigrad.modes import enable_grad as enable_grad
from minigrad.modes import no_grad as no_grad
from minigrad.modes import tracing as tracing
from minigrad.tensor import Tensor as Tensor
from minigrad.tensor import tensor as tensor
from minigrad import ops as ops
from minigrad.ops import *
from minigrad.creation import arange as arange
from minigrad.creation import eye as eye
from minigrad.creation import full as full
from minigrad.creation import full_like as full_like
from minigrad.creation import ones as ones
from minigrad.creation import ones_like as ones_like
from minigrad.creation import zeros as zeros
from minigrad.creation import zeros_like as zeros_like
from minigrad.custom import checkpoint as checkpoint
from minigrad.custom import custom_vjp as custom_vjp
from minigrad.exchange import from_dlpack as from_dlpack
from minigrad.scan import scan as scan
from minigrad.control import cond as cond
from minigrad.control import switch as switch
from minigrad.control import while_loop as while_loop
from minigrad.vmap import vmap as vmap
from minigrad.transforms import grad as grad
from minigrad.transforms import jvp as jvp
from minigrad.transforms import value_and_grad as value_and_grad
from minigrad.transforms import vjp as vjp
from minigrad.jacobians import hessian as hessian
from minigrad.jacobians import hvp as hvp
from minigrad.jacobians import jacobian as jacobian
from minigrad import io as io
from minigrad import nn as nn
from minigrad import optim as optim
from minigrad import random as random
from minigrad import tree as tree
from minigrad.compile.jit import jit as jit
from minigrad.compile.switch import disable_jit as disable_jit
from minigrad.kernels.threads import set_num_threads as set_num_threads
from minigrad import debug as debug
from minigrad.debug import detect_anomaly as detect_anomaly
from minigrad import distributed as distributed
from minigrad.onnx import export as export
from minigrad.kernels.inspection import inspect_kernel as inspect_kernel
from minigrad import interop as interop
from minigrad import models as models
from minigrad.profiling import profile as profile
from minigrad.sweeps import sweep as sweep
from minigrad import testing as testing
from minigrad import training as training
from minigrad import viz as viz

__version__: str
__all__ = [
    'Tensor',
    'abs',
    'add',
    'all',
    'any',
    'arange',
    'arccos',
    'arcsin',
    'arcsinh',
    'arctan',
    'arctan2',
    'argmax',
    'argmin',
    'argsort',
    'astype',
    'avg_pool1d',
    'avg_pool2d',
    'avg_pool3d',
    'batch_norm',
    'binary_cross_entropy_with_logits',
    'broadcast_to',
    'cbrt',
    'ceil',
    'checkpoint',
    'cholesky',
    'chunk',
    'clip',
    'concatenate',
    'cond',
    'conv1d',
    'conv2d',
    'conv3d',
    'conv_transpose1d',
    'conv_transpose2d',
    'conv_transpose3d',
    'copy',
    'cos',
    'cosh',
    'cross_entropy',
    'cummax',
    'cummin',
    'cumprod',
    'cumsum',
    'custom_vjp',
    'debug',
    'det',
    'detect_anomaly',
    'diag',
    'diagonal',
    'disable_jit',
    'distributed',
    'div',
    'dot',
    'dropout',
    'eigh',
    'einsum',
    'elu',
    'embedding',
    'enable_grad',
    'equal',
    'erf',
    'exp',
    'expand_dims',
    'expm1',
    'export',
    'eye',
    'flip',
    'floor',
    'floor_divide',
    'from_dlpack',
    'full',
    'full_like',
    'gather',
    'gelu',
    'getitem',
    'grad',
    'greater',
    'greater_equal',
    'group_norm',
    'hard_sigmoid',
    'hard_tanh',
    'hessian',
    'huber',
    'hvp',
    'inspect_kernel',
    'instance_norm',
    'interop',
    'interpolate',
    'inv',
    'io',
    'isfinite',
    'isnan',
    'jacobian',
    'jit',
    'jvp',
    'layer_norm',
    'leaky_relu',
    'less',
    'less_equal',
    'log',
    'log1p',
    'log_sigmoid',
    'log_softmax',
    'logaddexp',
    'logical_and',
    'logical_not',
    'logical_or',
    'logical_xor',
    'logsumexp',
    'matmul',
    'matvec',
    'max',
    'max_pool1d',
    'max_pool2d',
    'max_pool2d_indices',
    'max_pool3d',
    'max_unpool1d',
    'max_unpool2d',
    'max_unpool3d',
    'maximum',
    'mean',
    'min',
    'minimum',
    'models',
    'moveaxis',
    'mse',
    'mul',
    'neg',
    'nll_loss',
    'nn',
    'no_grad',
    'norm',
    'not_equal',
    'one_hot',
    'ones',
    'ones_like',
    'optim',
    'outer',
    'pad',
    'pinv',
    'pool_sum',
    'pow',
    'prod',
    'profile',
    'qr',
    'random',
    'reciprocal',
    'relu',
    'remainder',
    'repeat',
    'reshape',
    'rms_norm',
    'roll',
    'round',
    'rsqrt',
    'scaled_dot_product_attention',
    'scan',
    'scatter_add',
    'set_num_threads',
    'sigmoid',
    'sign',
    'silu',
    'sin',
    'sinh',
    'slogdet',
    'softmax',
    'softmax_cross_entropy',
    'softplus',
    'solve',
    'sort',
    'split',
    'sqrt',
    'square',
    'squeeze',
    'stack',
    'standardize',
    'std',
    'stop_gradient',
    'straight_through',
    'sub',
    'sum',
    'svd',
    'swapaxes',
    'sweep',
    'switch',
    'take',
    'take_along_axis',
    'tan',
    'tanh',
    'tensor',
    'testing',
    'tile',
    'topk',
    'trace',
    'tracing',
    'training',
    'transpose',
    'tree',
    'tril',
    'triu',
    'unstack',
    'value_and_grad',
    'var',
    'vecmat',
    'viz',
    'vjp',
    'vmap',
    'where',
    'while_loop',
    'zeros',
    'zeros_like',
]
