"""Each pass alone: a program before, the program after, both as text (minigrad/ir/text.py).

A pass that stops doing its work leaves the text as it was and fails its test.
"""

import re
import runpy
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad import models
from minigrad.compile.execute import Sequence
from minigrad.compile.passes import (
    cluster,
    cse_dce,
    fuse,
    hoist,
    lift,
    lookup,
    lower,
    mask,
    merge,
    pipeline,
    precision,
    recompute,
    sink,
    widen,
)
from minigrad.compile.passes.canonicalize import canonicalize
from minigrad.ir.rewrite import order_of, weights
from minigrad.ir.text import read, show
from minigrad.ir.trace import Program
from minigrad.ops.table import Spec, table
from minigrad.testing import Draw


def text_of(text: str) -> str:
    """A text as `show` writes it: names and types made uniform."""
    return show(read(text)[1])


def check(apply, before: str, after: str) -> None:
    program, roots = read(before)
    assert show(apply(program, roots)) == text_of(after)


def reduced(apply):
    return lambda program, roots: cse_dce.cse_dce(program, apply(program, roots))


def merged(program, roots):
    return merge.merge(program, roots, weights(program, order_of(roots)))


# Canonical forms


@pytest.mark.parametrize(
    "op, params, after",
    [
        ("swapaxes", dict(axis1=-1, axis2=0), "y = transpose(x, axes=(2, 1, 0))"),
        ("transpose", dict(axes=None), "y = transpose(x, axes=(2, 1, 0))"),
        ("flip", dict(axis=1), "y = getitem(x, index=(slice(0, 2, 1), slice(2, None, -1), slice(0, 4, 1)))"),
        ("getitem", dict(index=(..., None, -1)), "a = getitem(x, index=(slice(0, 2, 1), slice(0, 3, 1), 3))\n"
                                                 "y = reshape(a, shape=(2, 3, 1))"),
        ("getitem", dict(index=slice(None)), "y = copy"),
        ("sum_to", dict(shape=(3, 1)), "a = sum(x, axis=(0, 2), keepdims=False)\ny = reshape(a, shape=(3, 1))"),
        ("max", dict(axis=-1, keepdims=True), "y = max(x, axis=(2,), keepdims=True)"),
        ("roll", dict(shift=1, axis=2), "a = getitem(x, index=(slice(0, 2, 1), slice(0, 3, 1), slice(3, 4, 1)))\n"
                                        "b = getitem(x, index=(slice(0, 2, 1), slice(0, 3, 1), slice(0, 3, 1)))\n"
                                        "y = concatenate(a, b, axis=2)"),
        ("diagonal", dict(offset=1, axis1=1, axis2=2), "a = reshape(x, shape=(2, 12))\n"
                                                       "y = getitem(a, index=(slice(0, 2, 1), slice(1, 12, 5)))"),
        ("softmax", dict(axis=-1), "y = softmax(x, axis=(2,))"),
        ("argmax", dict(axis=None, keepdims=False), "a = reshape(x, shape=(24,))\n"
                                                    "y = argmax(a, axis=0, keepdims=False)"),
    ],
)  # fmt: skip
def test_an_op_takes_its_canonical_form(op, params, after):
    program, (x, *_) = read("x = input float32[2, 3, 4]\nreturn x")
    y = program.record(table[op], (x,), params, table[op].specs(x, **params))
    assert y.op.name == op  # as it was called
    same = "x = input float32[2, 3, 4]\n" + ("return x" if after == "y = copy" else after + "\nreturn y")
    assert show(canonicalize(program, [y])) == text_of(same)


def test_the_gradient_of_a_transposed_weight_is_a_product_that_lies_in_order():
    program, roots = read("""
        x = input float32[5, 3]
        g = input float32[5, 4]
        t = transpose(x, axes=(1, 0))
        w = matmul(t, g)
        y = transpose(w, axes=(1, 0))
        return y
    """)
    after = """
        x = input float32[5, 3]
        g = input float32[5, 4]
        t = transpose(g, axes=(1, 0))
        y = matmul(t, x)
        return y
    """
    assert show(cse_dce.cse_dce(program, canonicalize(program, roots))) == text_of(after)


def test_an_einsum_is_a_product_of_matrices():
    program, (x, w) = read("x = input float64[5, 3]\nw = input float64[4, 3]\nreturn x, w")
    y = program.record(table["einsum"], (w, x), {"subscripts": "ij,bj->bi"}, Spec((5, 4), np.dtype("float64")))
    after = """
        x = input float64[5, 3]
        w = input float64[4, 3]
        v = transpose(w, axes=(1, 0))
        y = matmul(x, v)
        return y
    """
    assert show(canonicalize(program, [y])) == text_of(after)


@given(st.data())
def test_an_einsum_keeps_its_value(data):
    arrays, params = table["einsum"].sample(Draw(data))
    program = Program()
    values = [program.input(a) for a in arrays]
    y = program.record(table["einsum"], values, params, Spec(*[getattr(np.einsum(params["subscripts"], *arrays), k)
                                                               for k in ("shape", "dtype")]))  # fmt: skip
    canonical = canonicalize(program, [y])
    assert "einsum" not in show(canonical)
    (got,) = Sequence(values, canonical)(arrays)
    np.testing.assert_allclose(got, np.einsum(params["subscripts"], *arrays), rtol=1e-12, atol=1e-12)


def test_the_pieces_of_a_split_are_slices():
    program, (x,) = read("x = input float32[2, 6]\nreturn x")
    pieces = program.record(table["split"], (x,), {"sections": 2, "axis": -1}, [Spec((2, 3), x.dtype)] * 2)
    after = """
        x = input float32[2, 6]
        a = getitem(x, index=(slice(0, 2, 1), slice(0, 3, 1)))
        b = getitem(x, index=(slice(0, 2, 1), slice(3, 6, 1)))
        return a, b
    """
    assert show(canonicalize(program, pieces)) == text_of(after)


# Dead code and common subexpressions


def test_cse_dce_merges_equal_values_and_drops_what_nobody_needs():
    before = """
        x = input float32[2, 3]
        W = captured float32[3, 4]
        a = matmul(x, W)
        b = matmul(x, W)
        c = reshape(b, shape=(2, 4))
        d = exp(a)
        t = tanh(a)
        y = add(t, c)
        return y
    """
    after = """
        x = input float32[2, 3]
        W = captured float32[3, 4]
        a = matmul(x, W)
        t = tanh(a)
        y = add(t, a)
        return y
    """
    check(cse_dce.cse_dce, before, after)


@pytest.mark.parametrize("line", ["add(x, -0.0)", "mul(x, 1)", "mul(1, x)", "sub(x, 0)", "div(x, 1)", "copy(x)",
                                  "stop_gradient(x)", "astype(x, dtype=dtype('float32'))"])  # fmt: skip
def test_cse_dce_drops_what_changes_nothing(line):
    check(cse_dce.cse_dce, f"x = input float32[3]\ny = {line}\nreturn y", "x = input float32[3]\nreturn x")


@pytest.mark.parametrize("line", ["sub(0, x)", "add(x, 0.0)", "sub(x, -0.0)", "div(1, x)", "mul(x, 0)", "add(x, 1)",
                                  "broadcast_to(x, shape=(2, 3))", "astype(x, dtype=dtype('float64'))"])  # fmt: skip
def test_cse_dce_keeps_what_changes_something(line):
    text = f"x = input float32[3]\ny = {line}\nreturn y"
    check(cse_dce.cse_dce, text, text)


def test_cse_dce_tells_minus_zero_from_zero():
    text = "x = input float32[3]\na = maximum(x, 0.0)\nb = maximum(x, -0.0)\nreturn a, b"
    check(cse_dce.cse_dce, text, text)


def test_cse_dce_keeps_apart_what_is_computed_again():
    text = "x = input float32[3]\na = exp(x)\nrecompute b = exp(x)\nreturn a, b"
    check(cse_dce.cse_dce, text, text)


def test_cse_dce_takes_out_of_a_loop_what_nobody_needs():
    before = """
        x = input float32[7, 2]
        w = input float32[2]
        h0 = input float32[2]
        c0 = input float32[2]
        h, c, hs, es = loop 7 steps
            const u = w
            const v = w
            carry a = h0
            carry b = c0
            each x_t = x
            m = mul(a, u)
            n = mul(m, v)
            k = add(n, x_t)
            o = exp(b)
            next k, o
            give k, o
        return hs
    """
    after = """
        x = input float32[7, 2]
        w = input float32[2]
        h0 = input float32[2]
        h, hs = loop 7 steps
            const u = w
            carry a = h0
            each x_t = x
            m = mul(a, u)
            n = mul(m, u)
            k = add(n, x_t)
            next k
            give k
        return hs
    """
    check(cse_dce.cse_dce, before, after)


# Products


def test_products_with_the_same_left_operand_become_one():
    before = """
        h = input float32[2, 3]
        W_i = captured float32[3, 4]
        W_f = captured float32[3, 5]
        i = matmul(h, W_i)
        f = matmul(h, W_f)
        return i, f
    """
    after = """
        h = input float32[2, 3]
        W_i = captured float32[3, 4]
        W_f = captured float32[3, 5]
        W = concatenate(W_i, W_f, axis=1)
        p = matmul(h, W)
        i, f = split(p, sections=[4, 5], axis=-1)
        return i, f
    """
    check(merged, before, after)


def test_a_sum_of_products_becomes_one_product():
    before = """
        a = input float32[2, 3]
        b = input float32[2, 4]
        V_i = captured float32[3, 5]
        V_f = captured float32[4, 5]
        di = tanh(a)
        df = tanh(b)
        p = matmul(di, V_i)
        q = matmul(df, V_f)
        d = add(p, q)
        return d
    """
    after = """
        a = input float32[2, 3]
        b = input float32[2, 4]
        V_i = captured float32[3, 5]
        V_f = captured float32[4, 5]
        di = tanh(a)
        df = tanh(b)
        D = concatenate(di, df, axis=1)
        V = concatenate(V_i, V_f, axis=0)
        d = matmul(D, V)
        return d
    """
    check(merged, before, after)


def test_products_of_what_is_no_weight_stay_apart():
    text = """
        h = input float32[2, 3]
        a = input float32[3, 4]
        b = input float32[3, 4]
        i = matmul(h, a)
        f = matmul(h, b)
        return i, f
    """
    check(merged, text, text)


LOOP_OVER_X = """
    x = input float32[7, 2, 3]
    w = captured float32[{rows}, 4]
    h0 = input float32[2, 4]
    h, hs = loop 7 steps
        const W = w
        carry h = h0
        each x_t = x
{body}
        next n
        give n
    return hs
"""


def loop_over_x(body: str, rows: int = 7) -> str:
    return LOOP_OVER_X.format(rows=rows, body="\n".join(f"        {line.strip()}" for line in body.strip().split("\n")))


def test_the_product_of_a_concatenation_is_taken_apart_where_its_parts_may_part():
    before = loop_over_x("""
        j = concatenate(x_t, h, axis=-1)
        p = matmul(j, W)
        n = tanh(p)
    """)
    after = loop_over_x("""
        U = getitem(W, index=(slice(0, 3, None),))
        V = getitem(W, index=(slice(3, 7, None),))
        a = matmul(x_t, U)
        b = matmul(h, V)
        p = add(a, b)
        n = tanh(p)
    """)
    check(merge.take_apart, before, after)


def test_the_product_of_a_concatenation_of_carries_stays_whole():
    text = loop_over_x("j = concatenate(h, h, axis=-1)\np = matmul(j, W)\nn = tanh(p)", rows=8)
    check(merge.take_apart, text, text)


# Precision

PRODUCTS = """
    x = input float32[7, 2, 3]
    w = captured float32[3, 3]
    h0 = input float32[2, 3]
    v = input float64[3, 3]
    P = {op}(x, w)
    h, hs = loop 7 steps
        const W = w
        carry h = h0
        each p = P
        q = {op}(h, W)
        s = add(p, q)
        n = tanh(s)
        next n
        give n
    d = matmul(v, v)
    return hs, d
"""


@pytest.mark.parametrize("asked, op", [("bfloat16", "matmul_bfloat16"), (None, "matmul")])
def test_products_of_float32_round_their_operands_where_the_program_is_for_it(asked, op):
    def lowered(program, roots):
        program.precision = asked
        return precision.lower_precision(program, roots)

    check(lowered, PRODUCTS.format(op="matmul"), PRODUCTS.format(op=op))


# Lookups

LOOKED_UP = """
    e = captured float32[{n}, 3]
    w = captured float32[3, 5]
    i = input int64[4, 2]
    g = cotangent float32[4, 2, 5]
"""


def test_a_product_of_a_lookup_is_a_lookup_of_a_product():
    before = (
        LOOKED_UP
        + """
        x = embedding(e, i)
        y = matmul(x, w)
        r = reshape(x, shape=(8, 3))
        z = matmul(r, w)
        return y, z
    """
    )
    after = (
        LOOKED_UP
        + """
        p = matmul(e, w)
        y = embedding(p, i)
        z = reshape(y, shape=(8, 5))
        return y, z
    """
    )
    check(reduced(lookup.lookup), before.format(n=7), after.format(n=7))
    check(reduced(lookup.lookup), before.format(n=8), before.format(n=8))  # as many rows as are looked up


def test_cotangents_of_a_lookup_are_added_up_before_their_products():
    """Where something was looked up: what a row that was not has (infinity, NaN) does not matter."""
    before = (
        LOOKED_UP
        + """
        v = transpose(w, axes=(1, 0))
        d = matmul(g, v)
        de = untake(d, i, shape=({n}, 3), axis=0)
        x = take(e, i, axis=0)
        r = reshape(x, shape=(8, 3))
        h = reshape(g, shape=(8, 5))
        t = transpose(h, axes=(1, 0))
        dv = matmul(t, r)
        c = transpose(r, axes=(1, 0))
        dw = matmul(c, h)
        return de, dv, dw
    """
    )
    after = (
        LOOKED_UP
        + """
        k = equal(i, i)
        c = astype(k, dtype=dtype('float32'))
        n = untake(c, i, axis=0, shape=({n},))
        b = greater(n, 0.0)
        there = reshape(b, shape=({n}, 1))
        s = untake(g, i, axis=0, shape=({n}, 5))
        v = transpose(w, axes=(1, 0))
        p = matmul(s, v)
        de = where(there, p, 0.0)
        known = where(there, e, 0.0)
        t = transpose(s, axes=(1, 0))
        dv = matmul(t, known)
        f = transpose(known, axes=(1, 0))
        dw = matmul(f, s)
        return de, dv, dw
    """
    )
    check(reduced(lookup.lookup), before.format(n=7), after.format(n=7))
    check(reduced(lookup.lookup), before.format(n=8), before.format(n=8))


# In and out of loops


def test_what_does_not_depend_on_the_carry_leaves_the_loop():
    before = """
        x = input float32[7, 2, 3]
        w = captured float32[4, 3]
        u = captured float32[4, 4]
        h0 = input float32[2, 4]
        h, hs = loop 7 steps
            const W = w
            const U = u
            carry h = h0
            each x_t = x
            V = transpose(W, axes=None)
            p = matmul(x_t, V)
            q = matmul(h, U)
            s = add(p, q)
            n = tanh(s)
            next n
            give n
        return hs
    """
    after = """
        x = input float32[7, 2, 3]
        w = captured float32[4, 3]
        u = captured float32[4, 4]
        h0 = input float32[2, 4]
        V = transpose(w, axes=None)
        P = matmul(x, V)
        h, hs = loop 7 steps
            const U = u
            carry h = h0
            each p = P
            q = matmul(h, U)
            s = add(p, q)
            n = tanh(s)
            next n
            give n
        return hs
    """
    check(reduced(hoist.hoist), before, after)


def test_an_elementwise_op_of_the_step_alone_stays_in_the_loop():
    text = loop_over_x("e = exp(x_t)\nm = max(e, axis=(1,), keepdims=True)\nn = mul(h, m)")
    check(
        reduced(hoist.hoist),
        text,
        text.replace("    w = captured float32[7, 4]\n", "").replace("        const W = w\n", ""),
    )


def test_parameter_gradients_sink_below_the_loop():
    before = """
        x = input float32[7, 5, 3]
        h = input float32[7, 5, 4]
        w = captured float32[3, 4]
        u = captured float32[4, 4]
        g = cotangent float32[5, 4]
        dh, dW, dx = loop 7 steps backwards
            const W = w
            const U = u
            carry d = g
            each x_t = x
            each h_t = h
            hh = mul(h_t, h_t)
            one = sub(1, hh)
            dz = mul(d, one)
            V = swapaxes(W, axis1=-1, axis2=-2)
            dx = matmul(dz, V)
            X = swapaxes(x_t, axis1=-1, axis2=-2)
            dw = matmul(X, dz)
            Y = swapaxes(U, axis1=-1, axis2=-2)
            dd = matmul(dz, Y)
            next dd
            sum dw
            give dx
        return dW, dx
    """
    after = """
        x = input float32[7, 5, 3]
        h = input float32[7, 5, 4]
        w = captured float32[3, 4]
        u = captured float32[4, 4]
        g = cotangent float32[5, 4]
        Y = swapaxes(u, axis1=-1, axis2=-2)
        dh, dZ = loop 7 steps backwards
            const Yc = Y
            carry d = g
            each h_t = h
            hh = mul(h_t, h_t)
            one = sub(1, hh)
            dz = mul(d, one)
            dd = matmul(dz, Yc)
            next dd
            give dz
        X = reshape(x, shape=(35, 3))
        Xt = swapaxes(X, axis1=-1, axis2=-2)
        dZr = reshape(dZ, shape=(35, 4))
        dW = matmul(Xt, dZr)
        Wt = swapaxes(w, axis1=-1, axis2=-2)
        dX = matmul(dZ, Wt)
        return dW, dX
    """
    check(lambda p, r: reduced(sink.sink)(p, reduced(hoist.hoist)(p, r)), before, after)


def test_the_gradient_of_a_weight_sinks_though_its_operands_are_small():
    """What a step reads of a stream is no weight, however small it is, and however many rows the product has."""
    before = """
        x = input float32[7, 1, 3]
        h = input float32[7, 1, 200]
        g = cotangent float32[1, 200]
        dh, dW = loop 7 steps backwards
            carry d = g
            each x_t = x
            each h_t = h
            dz = mul(d, h_t)
            Z = transpose(dz, axes=(1, 0))
            dw = matmul(Z, x_t)
            next dz
            sum dw
        return dW
    """
    after = """
        x = input float32[7, 1, 3]
        h = input float32[7, 1, 200]
        g = cotangent float32[1, 200]
        dh, dZ = loop 7 steps backwards
            carry d = g
            each h_t = h
            dz = mul(d, h_t)
            next dz
            give dz
        dZr = reshape(dZ, shape=(7, 200))
        Z = transpose(dZr, axes=(1, 0))
        X = reshape(x, shape=(7, 3))
        dW = matmul(Z, X)
        return dW
    """
    check(reduced(sink.sink), before, after)


def test_products_of_each_sample_sink_below_the_loop():
    """Outer products, too, which are multiplications; not those of which the operands are larger than the result."""
    before = """
        x = input float32[7, 5, 6]
        h = input float32[7, 5, 4]
        g = cotangent float32[5, 4]
        dh, dW, dU, dS = loop 7 steps backwards
            carry d = g
            each x_t = x
            each h_t = h
            dz = mul(d, h_t)
            a = reshape(dz, shape=(5, 4, 1))
            b = reshape(x_t, shape=(5, 1, 6))
            dw = mul(b, a)
            c = reshape(h_t, shape=(5, 1, 4))
            du = matmul(a, c)
            s = reshape(x_t, shape=(5, 2, 3))
            t = reshape(x_t, shape=(5, 3, 2))
            ds = matmul(s, t)
            next dz
            sum dw, du, ds
        return dW, dU, dS
    """
    after = """
        x = input float32[7, 5, 6]
        h = input float32[7, 5, 4]
        g = cotangent float32[5, 4]
        dh, dS, dZ = loop 7 steps backwards
            carry d = g
            each x_t = x
            each h_t = h
            dz = mul(d, h_t)
            s = reshape(x_t, shape=(5, 2, 3))
            t = reshape(x_t, shape=(5, 3, 2))
            ds = matmul(s, t)
            next dz
            sum ds
            give dz
        l = reshape(dZ, shape=(7, 5, 4, 1))
        lt = transpose(l, axes=(1, 0, 3, 2))
        rows = reshape(lt, shape=(5, 7, 4))
        left = transpose(rows, axes=(0, 2, 1))
        r = reshape(x, shape=(7, 5, 1, 6))
        rt = transpose(r, axes=(1, 0, 2, 3))
        right = reshape(rt, shape=(5, 7, 6))
        dW = matmul(left, right)
        q = reshape(h, shape=(7, 5, 1, 4))
        qt = transpose(q, axes=(1, 0, 2, 3))
        other = reshape(qt, shape=(5, 7, 4))
        dU = matmul(left, other)
        return dW, dU, dS
    """
    check(reduced(sink.sink), before, after)


def test_the_chain_rule_of_parameters_alone_is_applied_to_the_sum_over_the_steps():
    before = """
        h = input float32[7, 5, 4]
        log_a = captured float32[4]
        a = exp(log_a)
        g = cotangent float32[5, 4]
        dh, d = loop 7 steps backwards
            const c = a
            carry d = g
            each h_t = h
            p = mul(d, h_t)
            s = sum(p, axis=(0,), keepdims=False)
            m = mul(s, c)
            n = neg(m)
            dd = mul(d, c)
            next dd
            sum n
        return d
    """
    after = """
        h = input float32[7, 5, 4]
        log_a = captured float32[4]
        a = exp(log_a)
        g = cotangent float32[5, 4]
        dh, S = loop 7 steps backwards
            const c = a
            carry d = g
            each h_t = h
            p = mul(d, h_t)
            s = sum(p, axis=(0,), keepdims=False)
            dd = mul(d, c)
            next dd
            sum s
        m = mul(S, a)
        n = neg(m)
        return n
    """
    check(reduced(sink.sink), before, after)


def test_the_chain_rule_of_a_solved_matrix_of_parameters_is_applied_to_the_sum_over_the_steps():
    before = """
        h = input float32[7, 5, 4]
        a = captured float32[4, 4]
        m = captured bool[4, 4]
        g = cotangent float32[5, 4]
        dh, d = loop 7 steps backwards
            const b = a
            const l = m
            carry d = g
            each h_t = h
            ht = transpose(h_t, axes=(1, 0))
            w = matmul(ht, d)
            x = solve(b, w)
            y = matmul(x, b)
            z = where(l, y, 0.0)
            dd = mul(d, 0.5)
            next dd
            sum z
        return d
    """
    after = """
        a = captured float32[4, 4]
        m = captured bool[4, 4]
        h = input float32[7, 5, 4]
        H = reshape(h, shape=(35, 4))
        Ht = transpose(H, axes=(1, 0))
        g = cotangent float32[5, 4]
        dh, D = loop 7 steps backwards
            carry d = g
            dd = mul(d, 0.5)
            next dd
            give d
        DD = reshape(D, shape=(35, 4))
        w = matmul(Ht, DD)
        x = solve(a, w)
        y = matmul(x, a)
        z = where(m, y, 0.0)
        return z
    """
    check(reduced(sink.sink), before, after)


def test_masks_of_steps_go_to_what_is_summed():
    loop = """
        x = input float32[7, 5, 3]
        z = input float32[7, 5, 4]
        there = captured bool[7]
        g = cotangent float32[5, 4]
        dh, s, r = loop 7 steps backwards
            carry d = g
            each x_t = x
            each z_t = z
            each t = there
            dz = mul(d, z_t)
{}
            next dz
            sum m, n
        return s, r
    """
    before = loop.format("""
            X = transpose(x_t, axes=(1, 0))
            w = matmul(X, dz)
            v = transpose(w, axes=(1, 0))
            m = where(t, v, 0.0)
            b = sum(dz, axis=(0,), keepdims=False)
            n = where(t, b, 0.0)
    """)
    after = loop.format("""
            a = where(t, x_t, 0.0)
            X = transpose(a, axes=(1, 0))
            e = where(t, dz, 0.0)
            w = matmul(X, e)
            m = transpose(w, axes=(1, 0))
            n = sum(e, axis=(0,), keepdims=False)
    """)
    check(reduced(mask.mask), before, after)


# What kernels are made of


def test_softmax_in_a_loop_is_lowered_to_sweeps():
    before = loop_over_x("n = softmax(h, axis=-1)")
    after = loop_over_x("""
        m = max(h, axis=(1,), keepdims=True)
        d = sub(h, m)
        e = exp(d)
        s = sum(e, axis=(1,), keepdims=True)
        n = div(e, s)
    """)
    check(reduced(lower.lower), before, reduced_text(after))


def test_an_operand_of_several_axes_but_fewer_gets_the_leading_ones():
    """So that its rows are on the axis of the value's rows, and threads may divide them."""
    loop = """
        h = input float32[2, 3]
        memory = input float32[5, 2, 3]
        b = input float32[3]
        last, y = loop 7 steps
            const m = memory
            const c = b
            carry s = h
{}
            t = sum(q, axis=(0,), keepdims=False)
            n = add(t, c)
            next n
            give n
        return last, y
    """
    before = loop.format("            q = mul(s, m)")
    after = loop.format("            r = reshape(s, shape=(1, 2, 3))\n            q = mul(r, m)")
    check(reduced(lower.lower), before, reduced_text(after))


def test_narrow_integers_are_wide_in_between():
    loop = """
        n = input int8[5]
        k = input int8[7, 5]
        last, s, y = loop 7 steps
            carry m = n
            each k_t = k
{}
            next c
            give s, f
        return last, s, y
    """
    before = loop.format("""
            a = mul(m, k_t)
            c = add(a, int8(1))
            s = sum(a, axis=(0,), keepdims=False)
            f = astype(a, dtype=dtype('float32'))
    """)
    after = loop.format("""
            w = astype(m, dtype=dtype('int64'))
            v = astype(k_t, dtype=dtype('int64'))
            b = mul(w, v)
            a = astype(b, dtype=dtype('int8'))
            d = astype(a, dtype=dtype('int64'))
            e = add(d, int64(1))
            c = astype(e, dtype=dtype('int8'))
            s = sum(d, axis=(0,), keepdims=False)
            f = astype(d, dtype=dtype('float32'))
    """)
    check(reduced(widen.widen), before, reduced_text(after))


def test_outside_of_loops_softmax_stays_whole():
    text = "x = input float32[2, 3]\ny = softmax(x, axis=-1)\nreturn y"
    check(lower.lower, text, text)


def test_slices_are_taken_before_elementwise_ops():
    before = loop_over_x(
        """
        p = matmul(h, W)
        z = concatenate(p, x_t, axis=1)
        e = concatenate(x_t, p, axis=1)
        a = add(z, e)
        i, f = split(a, sections=[3, 4], axis=1)
        t = tanh(f)
        s = sum(i, axis=(1,), keepdims=True)
        n = mul(t, s)
    """,
        rows=4,
    )
    after = loop_over_x(
        """
        p = matmul(h, W)
        z = concatenate(p, x_t, axis=1)
        e = concatenate(x_t, p, axis=1)
        z_i, z_f = split(z, sections=[3, 4], axis=1)
        e_i, e_f = split(e, sections=[3, 4], axis=1)
        f = add(z_f, e_f)
        i = add(z_i, e_i)
        t = tanh(f)
        s = sum(i, axis=(1,), keepdims=True)
        n = mul(t, s)
    """,
        rows=4,
    )
    check(lift.lift, before, after)


def test_large_elementwise_runs_outside_of_loops_become_one_kernel():
    before = """
        x = input float32[128, 256]
        y = input float32[128, 256]
        a = mul(x, y)
        b = tanh(a)
        c = add(a, b)
        return c
    """
    after = """
        x = input float32[128, 256]
        y = input float32[128, 256]
        X = reshape(x, shape=(1, 128, 256))
        Y = reshape(y, shape=(1, 128, 256))
        C = loop 1 steps
            each x = X
            each y = Y
            a = mul(x, y)
            b = tanh(a)
            c = add(a, b)
            give c
        c = reshape(C, shape=(128, 256))
        return c
    """
    check(fuse.fuse, before, after)


CLUSTERED = """
    x = input float32[2, 3]
    W = input float32[4, 3]
    V = transpose(W, axes=(1, 0))
    p = matmul(x, V)
    a = tanh(p)
    w = getitem(V, index=(slice(0, 3, 1), 0))
    return a, w
"""


def test_small_ops_become_one_kernel():
    """Views are made where they are read."""
    after = """
        x = input float32[2, 3]
        W = input float32[4, 3]
        A = loop 1 steps
            const y = x
            const U = W
            u = transpose(U, axes=(1, 0))
            p = matmul(y, u)
            a = tanh(p)
            give a
        a = reshape(A, shape=(2, 4))
        V = transpose(W, axes=(1, 0))
        w = getitem(V, index=(slice(0, 3, 1), 0))
        return a, w
    """
    check(cluster.cluster, CLUSTERED, after)


def test_a_backward_has_a_kernel_of_its_own():
    """Small ops that wait for a cotangent, and those that it alone needs."""
    before = """
        x = input float32[8, 8]
        g = cotangent float32[8, 8]
        a = exp(x)
        b = tanh(a)
        c = sin(b)
        d = cos(c)
        p = mul(a, a)
        q = mul(p, g)
        r = exp(q)
        s = sin(r)
        return d, s
    """
    after = """
        x = input float32[8, 8]
        g = cotangent float32[8, 8]
        A, D = loop 1 steps
            const y = x
            a = exp(y)
            b = tanh(a)
            c = sin(b)
            d = cos(c)
            give a, d
        d = reshape(D, shape=(8, 8))
        a = reshape(A, shape=(8, 8))
        S = loop 1 steps
            const k = a
            const h = g
            p = mul(k, k)
            q = mul(p, h)
            r = exp(q)
            s = sin(r)
            give s
        s = reshape(S, shape=(8, 8))
        return d, s
    """
    check(cluster.cluster, before, after)


def test_a_program_with_a_loop_has_no_such_kernels():
    after_the_loop = ["p = exp(hs)", "q = tanh(p)", "r = sin(q)", "s = cos(r)", "return s"]
    text = loop_over_x("n = tanh(h)").replace("return hs", "\n    ".join(after_the_loop))
    check(cluster.cluster, text, text)


@pytest.mark.parametrize(
    "text",
    [
        "x = input float32[8, 8]\na = exp(x)\nb = tanh(a)\nreturn b",  # too few
        "x = input float32[256, 256]\na = exp(x)\nb = tanh(a)\nc = sin(b)\nd = cos(c)\nreturn d",  # too large
        "x = input float32[64, 1024]\ny = input float32[1024, 64]\na = matmul(x, y)\nb = tanh(a)\nreturn b",
        "x = input float32[80, 80]\na = cholesky(x)\nb = tanh(a)\nc = sin(b)\nd = cos(c)\nreturn d",  # too much work
    ],
)
def test_what_a_kernel_in_one_thread_gains_nothing_of_stays(text):
    check(cluster.cluster, text, text)


def test_small_elementwise_runs_stay_calls():
    text = "x = input float32[8, 8]\na = exp(x)\nb = tanh(a)\nreturn b"
    check(fuse.fuse, text, text)


def test_what_a_checkpoint_marks_is_computed_again_behind_the_cotangent():
    before = """
        x = input float32[3]
        g = cotangent float32[3]
        recompute z = tanh(x)
        s = mul(z, z)
        o = sub(1, s)
        d = mul(g, o)
        e = mul(d, z)
        return z, e
    """
    after = """
        x = input float32[3]
        g = cotangent float32[3]
        recompute z = tanh(x)
        s = mul(z, z)
        o = sub(1, s)
        d = mul(g, o)
        again = tanh(x)
        e = mul(d, again)
        return z, e
    """
    check(recompute.recompute, before, after)


def reduced_text(text: str) -> str:
    return show(cse_dce.cse_dce(*read(dedent(text))))


# The text itself


def test_a_text_that_is_read_prints_as_it_was():
    text = loop_over_x("p = matmul(x_t, W)\nn = tanh(p)", rows=3)
    assert text_of(text_of(text)) == text_of(text)


@pytest.mark.usefixtures("quick_kernels")
@pytest.mark.parametrize("cell", [models.LSTMCell, models.GRUCell, models.LayerNormLSTMCell, models.MGUCell])
def test_the_program_of_a_layer_can_be_read_back_after_every_pass(cell):
    layer = models.Recurrent(cell, 3, 4, num_layers=2, bidirectional=True)
    for stage in mg.jit(layer).explain(mg.tensor(np.zeros((5, 2, 3), "float32"))).stages[1:]:
        assert text_of(stage.program) == stage.program


def test_the_order_in_which_values_were_made_does_not_show():
    a = "x = input float32[3]\np = exp(x)\nq = tanh(x)\ny = sub(p, q)\nreturn y"
    b = "x = input float32[3]\nq = tanh(x)\np = exp(x)\ny = sub(p, q)\nreturn y"
    assert text_of(a) == text_of(b)


@pytest.mark.parametrize(
    "text, said",
    [
        ("y = exp(x)\nreturn y", "'x'"),
        ("x = input float32[3]\ny = nosuch(x)\nreturn y", "'nosuch"),
        ("x = input float32[3]\na, b = exp(x)\nreturn a", "1 results, and names 2"),
        ("what is this", "no statement"),
        ("x = input float32[3]\nreturn y", "'y'"),
    ],
)
def test_what_cannot_be_read_is_named(text, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        read(text)


# All of them


def nested(x, w):
    """A loop in a loop whose inner one reads what the outer one computes, with what each pass has work on."""

    def outer(h, x):
        def inner(c, v):
            a = mg.concatenate([v, c]) @ w
            i, f = mg.split(mg.swapaxes(a[None], 0, 1)[:, 0], 2)
            c = mg.sigmoid(i) * mg.tanh(f) + c
            return c, mg.softmax(c * w.sum())

        h, ys = mg.scan(inner, h, mg.stack([x, x * 2 * 1]))
        return h, mg.checkpoint(lambda y: mg.tanh(y @ w[:4, :4]))(ys)

    return mg.scan(outer, x[0], x)[1].sum()


@pytest.mark.parametrize("checkpoint", [None, 2])
def test_no_pass_changes_the_program_that_it_is_given(checkpoint, monkeypatch):
    def watched(transform):
        def step(program, roots):
            if program.parent is not None:  # of a loop's body
                return transform(program, roots)
            before = show(roots)
            result = transform(program, roots)
            assert show(roots) == before
            return result

        return step

    monkeypatch.setattr(pipeline, "STEPS", [(name, watched(transform)) for name, transform in pipeline.STEPS])
    monkeypatch.setattr(cse_dce, "cse_dce", watched(cse_dce.cse_dce))
    x = mg.tensor(np.ones((5, 4)), requires_grad=True)
    w = mg.tensor(np.ones((8, 8)), requires_grad=True)
    stages = mg.jit(nested, checkpoint=checkpoint).explain(x, w).stages
    assert len(stages) == len(pipeline.STEPS) + 1


def test_the_mutants_of_the_compiler_change_texts_that_are_there():
    mutation = runpy.run_path(str(Path(__file__).parent / "mutation.py"))
    files = [(mutation["PACKAGE"] / file, text) for file, text, _ in mutation["MUTANTS"]]
    assert not [(file.name, text) for file, text in files if text not in file.read_text()]
