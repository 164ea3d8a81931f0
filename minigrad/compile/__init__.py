"""The compiler: a function's tape, recorded on shapes, made into kernels.

trace.py records; loop.py does so for `scan` and its vjp; passes/ make the program better, a file each; schedule.py and
emit.py turn a loop into a kernel, native.py runs it; execute.py runs the rest; jit.py is what users call, call.py what
a call leaves on the tape; absent.py tells which cotangents there are.
"""
