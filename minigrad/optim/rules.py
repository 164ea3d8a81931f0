"""The update rules."""

import math
from typing import Any

from minigrad.arguments import Finite, Fraction, Probability, checked
from minigrad.optim.optimizer import GRADIENT, Optimizer


class SGD(Optimizer):
    """Gradient descent with momentum (Sutskever et al. 2013, in PyTorch's form), or Nesterov's.

    buffer = momentum * buffer + (1 - dampening) * g (the first: g), p = p - lr * buffer; Nesterov's takes
    g + momentum * buffer in place of the buffer. weight_decay adds weight_decay * p to g.

    Examples
    --------
    >>> w = nn.Parameter(np.ones(1, "float32"))
    >>> optimizer = optim.SGD([w], lr=0.1, momentum=0.9)
    >>> (3 * w).sum().backward()
    >>> optimizer.step()
    >>> round(w.item(), 4)
    0.7
    """

    @checked
    def __init__(
        self, parameters, lr: Finite = 0.001, momentum: Finite = 0.0, dampening: Probability = 0.0,
        weight_decay: Finite = 0.0, nesterov: bool = False,
    ):  # fmt: skip
        if nesterov and (not momentum or dampening):
            raise ValueError("SGD: nesterov wants a momentum above 0 and no dampening")
        buffer = f"(momentum * buffer + share * {GRADIENT})"
        if nesterov:
            self.rule = {"p": f"p - lr * ({GRADIENT} + momentum * {buffer})", "buffer": buffer}
        elif momentum:
            self.rule = {"p": f"p - lr * {buffer}", "buffer": buffer}
        else:
            self.rule = {"p": f"p - lr * {GRADIENT}"}
        super().__init__(parameters, lr, momentum=momentum, dampening=dampening, weight_decay=weight_decay)

    def coefficients(self, step: int) -> Any:
        s = self.settings
        numbers = {"lr": self.lr, "decay": s["weight_decay"]}
        if s["momentum"]:
            numbers |= {"momentum": s["momentum"], "share": 1 - s["dampening"] if step > 1 else 1.0}
        return numbers


class Adam(Optimizer):
    """Adam (Kingma & Ba 2014, arXiv:1412.6980, algorithm 1). weight_decay adds weight_decay * p to the gradient.

    Examples
    --------
    >>> w = nn.Parameter(np.ones(1, "float32"))
    >>> optimizer = optim.Adam([w], lr=0.1)
    >>> (3 * w).sum().backward()
    >>> optimizer.step()
    >>> round(w.item(), 4)
    0.9
    """

    decoupled = False

    @checked
    def __init__(
        self, parameters, lr: Finite = 0.001, betas: tuple[Fraction, Fraction] = (0.9, 0.999), eps: Finite = 1e-8,
        weight_decay: Finite = 0.0,
    ):  # fmt: skip
        g, p = ("g", "p * keep") if self.decoupled else (GRADIENT, "p")
        m = f"(m + rate1 * ({g} - m))"
        v = f"(beta2 * v + rate2 * {g} * {g})"
        self.rule = {"p": f"{p} - size * ({m} / (sqrt({v}) * scale + eps))", "m": m, "v": v}
        super().__init__(parameters, lr, beta1=betas[0], beta2=betas[1], eps=eps, weight_decay=weight_decay)

    def coefficients(self, step: int) -> Any:
        s = self.settings
        decay = {"keep": 1 - self.lr * s["weight_decay"]} if self.decoupled else {"decay": s["weight_decay"]}
        return decay | {
            "rate1": 1 - s["beta1"],
            "beta2": s["beta2"],
            "rate2": 1 - s["beta2"],
            "eps": s["eps"],
            "size": self.lr / (1 - s["beta1"] ** step),
            "scale": 1 / math.sqrt(1 - s["beta2"] ** step),
        }


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2017, arXiv:1711.05101): p shrinks by lr * weight_decay.

    Examples
    --------
    >>> w = nn.Parameter(np.ones(1, "float32"))
    >>> optimizer = optim.AdamW([w], lr=0.1, weight_decay=0.1)
    >>> (3 * w).sum().backward()
    >>> optimizer.step()
    >>> round(w.item(), 4)
    0.89
    """

    decoupled = True

    @checked
    def __init__(
        self, parameters, lr: Finite = 0.001, betas: tuple[Fraction, Fraction] = (0.9, 0.999), eps: Finite = 1e-8,
        weight_decay: Finite = 0.01,
    ):  # fmt: skip
        super().__init__(parameters, lr, betas, eps, weight_decay)


class RMSprop(Optimizer):
    """RMSprop (Hinton 2012, Coursera lecture 6e); centered as in Graves 2013, arXiv:1308.0850, eq. 38-41.

    v = alpha * v + (1 - alpha) * g², p = p - lr * g / (sqrt(v) + eps); centered subtracts the square of the running
    mean of g from v. With momentum, buffer = momentum * buffer + g / (sqrt(v) + eps) takes the quotient's place.

    Examples
    --------
    >>> w = nn.Parameter(np.ones(1, "float32"))
    >>> optimizer = optim.RMSprop([w], lr=0.1, centered=True)
    >>> (3 * w).sum().backward()
    >>> optimizer.step()
    >>> round(w.item(), 4)
    -0.005
    """

    @checked
    def __init__(
        self, parameters, lr: Finite = 0.01, alpha: Fraction = 0.99, eps: Finite = 1e-8, weight_decay: Finite = 0.0,
        momentum: Finite = 0.0, centered: bool = False,
    ):  # fmt: skip
        v = f"(alpha * v + rate * {GRADIENT} * {GRADIENT})"
        mean = f"(mean + rate * ({GRADIENT} - mean))"
        change = f"{GRADIENT} / (sqrt({f'{v} - {mean} * {mean}' if centered else v}) + eps)"
        state = {"v": v, "mean": mean} if centered else {"v": v}
        if momentum:
            state["buffer"] = change = f"(momentum * buffer + {change})"
        self.rule = {"p": f"p - lr * {change}", **state}
        super().__init__(parameters, lr, alpha=alpha, eps=eps, weight_decay=weight_decay, momentum=momentum)

    def coefficients(self, step: int) -> Any:
        s = self.settings
        numbers = {"lr": self.lr, "decay": s["weight_decay"], "eps": s["eps"]}
        numbers |= {"alpha": s["alpha"], "rate": 1 - s["alpha"]}
        return numbers | ({"momentum": s["momentum"]} if s["momentum"] else {})


class Adagrad(Optimizer):
    """Adagrad (Duchi et al. 2011).

    total = total + g², p = p - lr / (1 + (step - 1) lr_decay) * g / (sqrt(total) + eps).

    Examples
    --------
    >>> w = nn.Parameter(np.ones(1, "float32"))
    >>> optimizer = optim.Adagrad([w], lr=0.1)
    >>> (3 * w).sum().backward()
    >>> optimizer.step()
    >>> round(w.item(), 4)
    0.9
    """

    @checked
    def __init__(
        self, parameters, lr: Finite = 0.01, lr_decay: Finite = 0.0, weight_decay: Finite = 0.0,
        initial_accumulator_value: Finite = 0.0, eps: Finite = 1e-10,
    ):  # fmt: skip
        total = f"(total + {GRADIENT} * {GRADIENT})"
        self.rule = {"p": f"p - lr * ({GRADIENT} / (sqrt({total}) + eps))", "total": total}
        start = initial_accumulator_value
        super().__init__(parameters, lr, lr_decay=lr_decay, weight_decay=weight_decay, start=start, eps=eps)
        for (array,) in self.state:
            array.fill(start)

    def coefficients(self, step: int) -> Any:
        s = self.settings
        return {"lr": self.lr / (1 + (step - 1) * s["lr_decay"]), "decay": s["weight_decay"], "eps": s["eps"]}
