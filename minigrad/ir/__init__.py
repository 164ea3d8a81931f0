"""The compiler's representation: a function's tape, recorded on shapes.

trace.py holds values and programs, and records; loop.py records `scan` and its vjp, a program in a program, step.py
checks a step of it; absent.py tells which cotangents there are; rules/ says what the compiler knows of each op;
rewrite.py walks and rebuilds programs; text.py prints and reads them.
"""
