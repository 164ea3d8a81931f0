"""One model, trained by several processes that MPI has started: `mpiexec -n 4 python train.py`.

A process is a rank. Each works on its share of a batch, all have the same weights, and gradients are summed. In a
process of its own all of this is the identity, and MPI is not imported.
"""

from minigrad.distributed.parallel import DataParallel
from minigrad.distributed.samples import share
from minigrad.distributed.world import all_reduce, rank, size

__all__ = ["DataParallel", "all_reduce", "rank", "share", "size"]
