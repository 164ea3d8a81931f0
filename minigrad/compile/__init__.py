"""The compiler: a program (minigrad/ir), made into kernels.

passes/ make it better, a file each; schedule.py and emit.py turn a loop into a kernel, native.py runs it; execute.py
runs the rest; jit.py is what users call, call.py what a call leaves on the tape.
"""
