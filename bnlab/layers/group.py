"""Group normalisation as a module."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bnlab import functional
from bnlab.layers.base import Device, Norm


class GroupNorm(Norm):
    r"""Normalise groups of channels of each sample; a drop-in for `torch.nn`'s.

    .. math::
        y = \gamma_C \frac{x - \mu_{NG}}{\sqrt{\sigma_{NG}^2 + \epsilon}} + \beta_C

    Args:
        num_groups: :math:`G`, how many groups the channels are divided into; neighbours share one.
        num_channels: :math:`C`, the number of channels, a multiple of `num_groups`.
        eps: :math:`\epsilon`, added to the variance.
        affine: Whether to learn :math:`\gamma` (`weight`) and :math:`\beta` (`bias`), one of each
            for every channel.
        device: Where to put the parameters.
        dtype: The dtype of the parameters.
        bias: Whether to learn :math:`\beta`, where `affine`.

    Shape:
        - input and output: :math:`(N, C, *)`

    Raises:
        ValueError: `num_groups` is not positive or does not divide `num_channels`; input of one
            sample with one value a group.
        RuntimeError: Input with another number of channels.

    Example:
        >>> layer = GroupNorm(num_groups=2, num_channels=4)
        >>> layer(torch.tensor([[1.0, 3.0, 10.0, 30.0]])).detach().round(decimals=3)
        tensor([[-1.,  1., -1.,  1.]])
        >>> layer(torch.randn(8, 4, 32, 32)).shape
        torch.Size([8, 4, 32, 32])

    Wu & He, "Group Normalization" (2018): https://arxiv.org/abs/1803.08494
    """

    weight: nn.Parameter | None
    bias: nn.Parameter | None

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: Device = None,
        dtype: torch.dtype | None = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if num_groups < 1 or num_channels % num_groups:
            divisors = [n for n in range(1, num_channels + 1) if num_channels % n == 0]
            raise ValueError(
                f"num_channels ({num_channels}) must be divisible by num_groups ({num_groups}): "
                f"use one of {', '.join(map(str, divisors))} groups"
            )
        self.num_groups = num_groups
        self.num_channels = num_channels
        self.eps = eps
        self.affine = affine
        self._own((num_channels,), device, dtype, weight=affine, bias=affine and bias)
        self.reset_parameters()

    def forward(self, input: Tensor) -> Tensor:
        """Normalise by the sample's own statistics, in train and eval mode alike."""
        return functional.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
            f"bias={self.bias is not None}"
        )
