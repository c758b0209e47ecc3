"""One batch there and back through a deep network: how much signal and gradient each layer sees."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from bnlab.data import Split
from bnlab.functional import moments

# A step of learning rate 0.1 along a gradient of 1e-6 is what float32 can no longer add to a
# weight of 1; along one of 1e3 it throws the weights a hundred times their own size.
VANISHED, EXPLODED = 1e-6, 1e3


@dataclass(frozen=True, eq=False)
class Signals:
    """What is left of a batch at each layer.

    Attributes:
        spread: Standard deviation of the outputs over the batch, root mean square over the units.
        gradient: Norm of the gradient of the loss with respect to the outputs.
    """

    spread: Tensor
    gradient: Tensor


def propagate(
    model: nn.Module, batch: Split, layers: type[nn.Module] | tuple[type[nn.Module], ...]
) -> Signals:
    r"""Send `batch` forward and its cross-entropy's gradient backward, and measure at each layer.

    .. math::
        spread_l = \sqrt{\frac{1}{C} \sum_c \operatorname{Var}_n h_{l,nc}} \qquad
        gradient_l = \left\| \frac{\partial L}{\partial h_l} \right\|_2

    The spread is over the batch: a layer that gives every sample the same answer has none, however
    much its units differ from each other.

    Args:
        model: Takes the inputs and returns one score for each class. Left as it was, but for the
            running statistics of a norm in train mode.
        batch: At least two samples.
        layers: The types of layer to measure at, in the order in which they are called.

    Shape:
        - a layer's output :math:`h_l`: :math:`(N, C)`; spread and gradient: :math:`(L)`

    Raises:
        ValueError: The model calls no such layer.

    Example:
        >>> from bnlab.models import deep_mlp
        >>> batch = Split(torch.eye(4), torch.arange(4))
        >>> signals = propagate(deep_mlp(4, depth=8, classes=4), batch, nn.Sigmoid)
        >>> (signals.spread[7] / signals.spread[0] < 1e-3).item()
        True
        >>> (signals.gradient[0] / signals.gradient[7] < 1e-3).item()
        True

    The two curves of Glorot & Bengio, "Understanding the difficulty of training deep feedforward
    neural networks" (2010), as functions of the layer.
    """
    outputs: list[Tensor] = []

    def keep(_: nn.Module, __: object, output: Tensor) -> None:
        outputs.append(output)

    handles = [m.register_forward_hook(keep) for m in model.modules() if isinstance(m, layers)]
    try:
        with torch.enable_grad():
            loss = cross_entropy(model(batch.inputs), batch.targets)
    finally:
        for handle in handles:
            handle.remove()
    if not outputs:
        raise ValueError(f"the model calls no layer of type {layers}; it is {model}")
    gradients = torch.autograd.grad(loss, outputs)
    spreads = [moments(output.detach(), dim=0)[1].mean().sqrt() for output in outputs]
    return Signals(torch.stack(spreads), torch.stack([g.norm() for g in gradients]))


def fate(value: float | Tensor) -> str:
    """Say in one word what became of a spread or a gradient norm.

    Args:
        value: One number.

    Example:
        >>> fate(1e-9), fate(0.3), fate(1e5), fate(float("nan"))
        ('vanished', 'alive', 'exploded', 'exploded')
    """
    if value < VANISHED:
        return "vanished"
    return "alive" if value <= EXPLODED else "exploded"
