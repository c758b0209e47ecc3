"""How fast the gradient of a deep network that nobody trained grows on its way back."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bnlab import models
from bnlab.data import Split
from bnlab.experiments.propagation import propagate

RELU_GROWTH = math.pi / (math.pi - 1)
"""Of the squared gradient norm per layer: ReLU, batch norm, no skips, in the limit."""

NETWORKS = ("batch norm", "batch norm and skips", "no norm")


@dataclass(frozen=True, eq=False)
class Returned:
    """What came back to each layer of the gradient.

    Attributes:
        energy: Squared norm of the gradient with respect to each layer's outputs, as a multiple
            of the last layer's; first layer first, (L).
        growth: The factor per layer, as `growth` fits it.
    """

    energy: Tensor
    growth: float


def send_back(
    split: Split,
    *,
    network: str = "batch norm",
    depth: int = 30,
    width: int = 128,
    batch_size: int = 128,
    seed: int = 0,
) -> Returned:
    r"""Send the gradient of one batch's loss back through a deep, untrained ReLU network.

    .. math::
        energy_l = \frac{\|\partial L / \partial h_l\|^2}{\|\partial L / \partial h_{depth}\|^2}

    Weights are drawn with gain :math:`\sqrt 2`, which without a norm keeps the size of signal and
    gradient; before a norm the gain is of no account. Computed in float64.

    Args:
        split: Where the batch is drawn from, without replacement.
        network: 'batch norm' (linear, norm, ReLU), 'batch norm and skips' (the same, each layer's
            input added to its output) or 'no norm' (linear, ReLU).
        depth: Number of hidden layers, at least 2.
        width: Units in each.
        batch_size: Samples in the batch.
        seed: Of the weights and of the choice of the samples.

    Shape:
        - split.inputs: :math:`(N, inputs)`
        - energy: :math:`(depth)`

    Raises:
        ValueError: There is no such network, the split has fewer samples than the batch, or
            `depth` leaves nothing to compare.

    Example:
        >>> from bnlab import data
        >>> train = data.digits(flat=True).train
        >>> 1.3 < send_back(train, depth=20).growth < 1.7
        True

    Yang et al., "A Mean Field Theory of Batch Normalization" (2019):
    https://arxiv.org/abs/1902.08129
    """
    if network not in NETWORKS:
        raise ValueError(f"network is one of {', '.join(NETWORKS)}, but is {network!r}")
    if depth < 2:
        raise ValueError(f"depth is {depth}: growth needs at least 2 layers to compare")
    if not 2 <= batch_size <= len(split.inputs):
        raise ValueError(
            f"batch_size is {batch_size}: choose from 2 to the split's {len(split.inputs)} samples"
        )
    draw = torch.Generator().manual_seed(seed)
    rows = torch.randperm(len(split.inputs), generator=draw)[:batch_size]
    batch = Split(split.inputs[rows].double(), split.targets[rows])
    plain = models.deep_mlp(
        split.inputs.shape[1],
        width,
        depth,
        gain=math.sqrt(2),
        activation="relu",
        norm=None if network == "no norm" else nn.BatchNorm1d,
        seed=seed,
    ).double()
    *modules, output = plain
    size = len(modules) // depth
    # The first layer changes the number of units, so that nothing can skip it.
    hidden = [
        _Hidden(*modules[start : start + size], skip=start > 0 and "skips" in network)
        for start in range(0, len(modules), size)
    ]
    energy = propagate(nn.Sequential(*hidden, output), batch, _Hidden).gradient.square()
    return Returned(energy / energy[-1], growth(energy))


def growth(energy: Tensor) -> float:
    r"""Fit one factor per layer, going back, to the energies of all layers.

    .. math::
        \min_{a, growth} \sum_l (\log energy_l - a + l \log growth)^2

    Args:
        energy: One positive number a layer, first layer first, at least two.

    Shape:
        - energy: :math:`(L)`

    Example:
        >>> round(growth(torch.tensor([8.0, 4.0, 2.0, 1.0])), 6)
        2.0
    """
    layers = torch.arange(len(energy), dtype=torch.float64)
    layers -= layers.mean()
    slope = layers @ energy.double().log() / (layers @ layers)
    return math.exp(-slope.item())


class _Hidden(nn.Sequential):
    """Linear, norm if there is one, ReLU; and with a skip its own input added."""

    def __init__(self, *modules: nn.Module, skip: bool) -> None:
        super().__init__(*modules)
        self.skip = skip

    def forward(self, input: Tensor) -> Tensor:
        output = input
        for module in self:
            output = module(output)
        return output + input if self.skip else output
