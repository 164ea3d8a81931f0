"""Instructions that kernels have and Python does not spell, for Numba: fused multiply-add, and memory at an address.

instructions.py writes them as LLVM, and that is what runs. Tests compile kernels by Numba too, with this file's text in
front, so it imports nothing of ours. With the JIT off (`NUMBA_DISABLE_JIT=1`) fma is plain Python, for the debugger and
for coverage.
"""

import math
from fractions import Fraction

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic


@intrinsic
def fma(typingctx, a, b, c):
    """a * b + c, rounded once (IEEE 754 fusedMultiplyAdd), for three floats of one type."""
    if not (a == b == c and a in (types.float32, types.float64)):
        return None

    def codegen(context, builder, sig, args):
        return builder.fma(*args)

    return a(a, b, c), codegen


if config.DISABLE_JIT:

    def fma(a, b, c):
        """a * b + c, rounded once, for three NumPy floats of one type: worked out as a fraction, then rounded."""
        if not (np.isfinite(a) and np.isfinite(b)):
            return a * b + c
        if not np.isfinite(c):
            return c
        exact = Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c))
        if exact == 0:
            return a * b + c  # for the sign of the zero
        try:
            nearest = float(exact)
        except OverflowError:
            return type(a)(math.inf if exact > 0 else -math.inf)
        if type(a) is np.float32 and nearest != exact and np.float64(nearest).view(np.int64) % 2 == 0:
            # A second rounding does no harm after a first one to the odd neighbour: nothing looks like a tie by chance.
            nearest = math.nextafter(nearest, math.inf if exact > nearest else -math.inf)
        return type(a)(nearest)


def _element(builder, address, index, dtype):
    """Pointer to element `index` of the array of `dtype` (an LLVM type) at an integer address."""
    return builder.gep(builder.inttoptr(address, dtype.as_pointer()), [index], inbounds=True)


def _unaliased(builder, instruction, kind):
    """Tell LLVM that what a loop writes is not what it reads later, or it guards each loop by comparing all pointers.

    An output may be one of the inputs all the same, as long as element i depends on element i alone.
    """
    module = builder.module
    domain = module.add_metadata([ir.MetaDataString(module, "minigrad")])
    scopes = {
        name: module.add_metadata([module.add_metadata([ir.MetaDataString(module, name), domain])])
        for name in ("read", "written", "summed")
    }
    instruction.set_metadata("alias.scope", scopes[kind])
    others = [scope.operands[0] for name, scope in scopes.items() if name != kind]
    instruction.set_metadata("noalias", module.add_metadata(others))


@intrinsic
def load(typingctx, address, index, dtype):
    """Element `index` of the array of `dtype` at an address."""
    element = dtype.dtype

    def codegen(context, builder, sig, args):
        stored = context.get_data_type(element)
        value = builder.load(_element(builder, args[0], args[1], stored))
        _unaliased(builder, value, "read")
        return context.data_model_manager[element].from_data(builder, value)

    return element(types.intp, types.intp, dtype), codegen


@intrinsic
def store(typingctx, address, index, value):
    """Write `value` as element `index` of the array of its type at an address."""

    def codegen(context, builder, sig, args):
        stored = context.data_model_manager[value].as_data(builder, args[2])
        pointer = _element(builder, args[0], args[1], stored.type)
        _unaliased(builder, builder.store(stored, pointer), "written")
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, value), codegen


@intrinsic
def add_to(typingctx, address, index, value):
    """Add `value` to element `index` of the array of its type at an address, which nothing else reads or writes."""

    def codegen(context, builder, sig, args):
        pointer = _element(builder, args[0], args[1], context.get_data_type(value))
        old = builder.load(pointer)
        _unaliased(builder, old, "summed")
        _unaliased(builder, builder.store(builder.fadd(old, args[2]), pointer), "summed")
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, value), codegen


@intrinsic
def plus(typingctx, total, value):
    """total + value, one of the terms of a sum, which may be added in any order."""

    def codegen(context, builder, sig, args):
        return builder.fadd(*args, flags=("contract", "nsz", "reassoc"))

    return total(total, total), codegen


@intrinsic
def load_any(typingctx, address, index, dtype):
    """As load, of memory that may have been written just before."""
    element = dtype.dtype

    def codegen(context, builder, sig, args):
        value = builder.load(_element(builder, args[0], args[1], context.get_data_type(element)))
        return context.data_model_manager[element].from_data(builder, value)

    return element(types.intp, types.intp, dtype), codegen


@intrinsic
def store_any(typingctx, address, index, value):
    """As store, of memory that may be read just after."""

    def codegen(context, builder, sig, args):
        stored = context.data_model_manager[value].as_data(builder, args[2])
        builder.store(stored, _element(builder, args[0], args[1], stored.type))
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, value), codegen


@intrinsic
def stack(typingctx, size):
    """Address of `size` bytes (a literal) on the stack, aligned for vectors."""
    if not isinstance(size, types.IntegerLiteral):
        return None

    def codegen(context, builder, sig, args):
        with builder.goto_entry_block():
            memory = builder.alloca(ir.ArrayType(ir.IntType(8), size.literal_value))
        memory.align = 64
        return builder.ptrtoint(memory, ir.IntType(64))

    return types.intp(size), codegen


@intrinsic
def floating_point_flags(typingctx):
    """The flags (overflow, invalid, ...) that arithmetic has raised so far in this thread; 0 where we cannot tell."""

    def codegen(context, builder, sig, args):
        if not builder.module.triple.startswith("x86_64"):
            return ir.Constant(ir.IntType(32), 0)
        memory = cgutils.alloca_once(builder, ir.IntType(32))
        _call_with_pointer(builder, "llvm.x86.sse.stmxcsr", memory)
        return builder.load(memory)

    return types.int32(), codegen


@intrinsic
def restore_floating_point_flags(typingctx, flags):
    """Vector code computes lanes that a select then drops; without this NumPy would warn of what happened in them."""

    def codegen(context, builder, sig, args):
        if builder.module.triple.startswith("x86_64"):
            memory = cgutils.alloca_once(builder, ir.IntType(32))
            builder.store(args[0], memory)
            _call_with_pointer(builder, "llvm.x86.sse.ldmxcsr", memory)
        return context.get_dummy_value()

    return types.void(types.int32), codegen


def _call_with_pointer(builder, name, memory):
    pointer = ir.IntType(8).as_pointer()
    function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(ir.VoidType(), [pointer]), name)
    builder.call(function, [builder.bitcast(memory, pointer)])


@intrinsic
def call(typingctx, address, *integers):
    """Call the C function at an address, which takes 64-bit integers and returns nothing."""
    signature = types.void(types.intp, types.StarArgTuple([types.intp] * len(integers)))

    def codegen(context, builder, sig, args):
        integers = cgutils.unpack_tuple(builder, args[1])
        function = ir.FunctionType(ir.VoidType(), [ir.IntType(64)] * len(integers))
        builder.call(builder.inttoptr(args[0], function.as_pointer()), integers)
        return context.get_dummy_value()

    return signature, codegen
