"""`minigrad profile` and `mg.profile`: where the time, the memory and the flops go."""

from minigrad.profiling.profile import profile

__all__ = ["profile"]
