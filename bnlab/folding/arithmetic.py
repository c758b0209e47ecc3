"""A norm's scale and shift, multiplied into the weight before it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

TRANSPOSED = nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d


@torch.no_grad()
def fold_parameters(layer: Any, norm: Any) -> tuple[Tensor, Tensor]:
    r"""Return the weight and the bias with which `layer` does what it and `norm` did together.

    .. math::
        W' = \frac{\gamma}{\sqrt{\sigma^2 + \epsilon}} W \qquad
        b' = \beta + \frac{\gamma}{\sqrt{\sigma^2 + \epsilon}} (b - \mu)

    Args:
        layer: Linear or a convolution, also a transposed one.
        norm: With running statistics of its output channels.

    Shape:
        - weight: as that of `layer`; bias: :math:`(C)`; both computed in float64 and returned in
          the layer's dtype
    """
    scale = torch.rsqrt(_exact(norm.running_var) + norm.eps)
    if norm.weight is not None:
        scale = scale * _exact(norm.weight)
    shift = -scale * _exact(norm.running_mean)
    if layer.bias is not None:
        shift = shift + scale * _exact(layer.bias)
    if norm.bias is not None:
        shift = shift + _exact(norm.bias)
    weight = _exact(layer.weight)
    if isinstance(layer, TRANSPOSED):
        # Its weight is (in, out / groups, *): each input knows the outputs of its group alone.
        inputs = layer.in_channels // layer.groups
        factor = scale.view(layer.groups, -1).repeat_interleave(inputs, dim=0)
    else:
        factor = scale.view(-1, 1)
    weight = weight * factor.view(*factor.shape, *[1] * (weight.dim() - 2))
    return weight.to(layer.weight), shift.to(layer.weight)


def _exact(tensor: Tensor) -> Tensor:
    # On the CPU, since not every accelerator has float64.
    return tensor.cpu().double()
