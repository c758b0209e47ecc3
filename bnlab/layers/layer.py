"""Layer normalisation as modules: with a mean, and by the root mean square alone."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral

import torch
from torch import Tensor, nn

from bnlab import functional
from bnlab.layers.base import Device, Norm


class LayerNorm(Norm):
    r"""Normalise over the last dimensions of each sample; a drop-in for `torch.nn`'s.

    .. math::
        y = \gamma \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta

    Args:
        normalized_shape: The sizes of the last dimensions, whose cells share one mean; a plain
            number for the last one alone.
        eps: :math:`\epsilon`, added to the variance.
        elementwise_affine: Whether to learn :math:`\gamma` (`weight`) and :math:`\beta` (`bias`),
            one of each for every cell of `normalized_shape`.
        bias: Whether to learn :math:`\beta`, where `elementwise_affine`.
        device: Where to put the parameters.
        dtype: The dtype of the parameters.

    Shape:
        - input and output: :math:`(*, \text{normalized\_shape})`

    Raises:
        TypeError: `normalized_shape` is neither a whole number nor a sequence of them.
        RuntimeError: Input that does not end in `normalized_shape`.

    Example:
        >>> layer = LayerNorm(2)
        >>> layer(torch.tensor([[1.0, 3.0], [10.0, 30.0]])).detach().round(decimals=3)
        tensor([[-1.,  1.],
                [-1.,  1.]])

    Ba, Kiros & Hinton, "Layer Normalization" (2016): https://arxiv.org/abs/1607.06450
    """

    weight: nn.Parameter | None
    bias: nn.Parameter | None

    def __init__(
        self,
        normalized_shape: int | Iterable[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = _shape(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        affine = elementwise_affine
        self._own(self.normalized_shape, device, dtype, weight=affine, bias=affine and bias)
        self.reset_parameters()

    def forward(self, input: Tensor) -> Tensor:
        """Normalise by the sample's own statistics, in train and eval mode alike."""
        return functional.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, "
            f"elementwise_affine={self.elementwise_affine}, bias={self.bias is not None}"
        )


class RMSNorm(Norm):
    r"""Divide by the root mean square of the last dimensions; a drop-in for `torch.nn`'s.

    .. math::
        y = \gamma \frac{x}{\sqrt{\frac{1}{n} \sum_i x_i^2 + \epsilon}}

    Args:
        normalized_shape: The sizes of the last dimensions, whose cells share one root; a plain
            number for the last one alone.
        eps: :math:`\epsilon`, added to the mean square; None for the machine epsilon of the dtype,
            that of float32 for half precision.
        elementwise_affine: Whether to learn :math:`\gamma` (`weight`), one for every cell of
            `normalized_shape`. There is no shift.
        device: Where to put the parameter.
        dtype: The dtype of the parameter.

    Shape:
        - input and output: :math:`(*, \text{normalized\_shape})`

    Raises:
        TypeError: `normalized_shape` is neither a whole number nor a sequence of them.
        RuntimeError: Input that does not end in `normalized_shape`.

    Example:
        >>> layer = RMSNorm(2)
        >>> layer(torch.tensor([[3.0, 3.0], [0.5, -0.5]])).detach().round(decimals=3)
        tensor([[ 1.,  1.],
                [ 1., -1.]])

    Zhang & Sennrich, "Root Mean Square Layer Normalization" (2019): https://arxiv.org/abs/1910.07467
    """

    weight: nn.Parameter | None

    def __init__(
        self,
        normalized_shape: int | Iterable[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = _shape(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        self._own(self.normalized_shape, device, dtype, weight=elementwise_affine)
        self.reset_parameters()

    # torch calls the argument `x` here, and callers may name it.
    def forward(self, x: Tensor) -> Tensor:
        """Divide by the sample's own root mean square, in train and eval mode alike."""
        return functional.rms_norm(x, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
        )


def _shape(normalized_shape: int | Iterable[int]) -> tuple[int, ...]:
    sizes = normalized_shape if isinstance(normalized_shape, Iterable) else [normalized_shape]
    shape = tuple(sizes)
    if not all(isinstance(size, Integral) for size in shape):
        raise TypeError(
            "normalized_shape must be a whole number or a sequence of them, got "
            f"{normalized_shape!r}: pass the sizes of the last dimensions, as in input.shape[1:]"
        )
    return shape
