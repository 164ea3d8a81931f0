"""DataParallel: a module of which each rank has a copy."""

from typing import Any

from minigrad.arguments import NonNegative, checked
from minigrad.creation import full_like
from minigrad.distributed.gradients import Gradients
from minigrad.distributed.world import Meetings, broadcast, rank, reduced, refuse_apart, size
from minigrad.nn.module import Module
from minigrad.tensor import Tensor

__all__ = ["DataParallel"]
CHECKED = 100  # backwards from one comparison of the weights to the next


class DataParallel(Module):
    """A module of which each rank has a copy, with the weights that rank 0 had at the beginning. Each rank calls it
    with its own share of the batch (`share`), and `backward` sums the gradients, so that the same step of an optimizer
    follows on all.

    Parameters
    ----------
    module
        Any module. What mixes the samples of a batch, as BatchNorm does, mixes those of a share.

    Examples
    --------
    >>> model = mg.distributed.DataParallel(nn.Linear(2, 1))
    >>> optimizer = optim.SGD(model.parameters(), lr=0.1)
    >>> x, y = np.ones((8, 2), "float32"), np.zeros((8, 1), "float32")
    >>> rows = mg.distributed.share(8)
    >>> loss = mg.square(model(x[rows]) - y[rows]).mean()
    >>> of_all = model.backward(loss, terms=rows.stop - rows.start)
    >>> optimizer.step()
    """

    @checked
    def __init__(self, module: Module):
        self.module = module
        if size() > 1:
            module.load_state_dict(broadcast(module.state_dict() if rank() == 0 else None, "the weights"))

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.module(*args, **kwargs)

    @checked
    def backward(self, loss: Tensor, terms: NonNegative = 1) -> float:
        """The gradients of the mean over all ranks' terms, in every parameter's `grad`, as in one process with all.

        Every rank has to call this, one whose share is empty with any loss, and terms=0. Every 100 calls the weights
        are compared, and a RuntimeError names those that are not bit for bit the same on all ranks.

        Parameters
        ----------
        loss
            This rank's: a mean over its terms. A tensor of one number.
        terms
            How many terms, samples or words say, it is the mean of.

        Returns
        -------
        The mean of all.
        """
        if loss.size != 1:
            raise ValueError(f"DataParallel.backward: got a loss of shape {loss.shape}, wanted one number")
        if size() == 1:
            loss.backward(full_like(loss.detach(), 1))
            return loss.item()
        # counted elsewhere than in the module, of which a jitted function would be traced anew with each change
        if Meetings.steps % CHECKED == 0:
            refuse_apart(self.module.state_dict(), Meetings.steps)
        every = float(reduced(float(terms), what="the number of terms"))
        if not every:
            raise ValueError("DataParallel.backward: terms is 0 on all ranks")
        weight = float(terms) / every
        gradients = Gradients([p for p in self.module.parameters() if p.requires_grad])
        if weight:
            gradients.backward(loss, weight)
        (total,) = gradients.finish([weight * loss.item() if weight else 0.0])
        return float(total)
