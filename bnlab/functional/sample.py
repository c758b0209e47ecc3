"""The norms of one sample, which need no running statistics: layer, group and RMS normalisation."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from bnlab.functional.arithmetic import in_layout_of, widened
from bnlab.functional.checks import (
    check_floating,
    check_groups,
    check_normalized_shape,
    check_per_channel,
)
from bnlab.functional.lines import Lines
from bnlab.functional.planes import Planes
from bnlab.functional.standardize import standardize


def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    r"""Normalise over the last dimensions together, as `torch.nn.functional` does.

    .. math::
        y = \gamma \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta

    Args:
        input: Any values.
        normalized_shape: The sizes of the last dimensions, whose cells share one mean.
        weight: :math:`\gamma`, one for each of these cells, or None.
        bias: :math:`\beta`, likewise.
        eps: :math:`\epsilon`, added to the variance.

    Shape:
        - input and output: :math:`(*, \text{normalized\_shape})`
        - weight and bias: `normalized_shape`

    Raises:
        RuntimeError: `input` does not end in `normalized_shape`; a parameter of another shape or of
            an unfitting dtype.
        TypeError: `normalized_shape` is a plain number.
        NotImplementedError: `input` is not of a real floating-point dtype.

    Example:
        >>> tokens = torch.tensor([[1.0, 3.0], [10.0, 30.0]])
        >>> layer_norm(tokens, (2,)).round(decimals=3)
        tensor([[-1.,  1.],
                [-1.,  1.]])

    Ba, Kiros & Hinton, "Layer Normalization" (2016): https://arxiv.org/abs/1607.06450
    """
    check_floating("layer_norm", input)
    check_normalized_shape("layer_norm", input, normalized_shape, weight=weight, bias=bias)
    layout = Lines(input, normalized_shape)
    return standardize(input, layout, weight, bias, eps)[0]


def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    r"""Normalise groups of channels of each sample, as `torch.nn.functional` does.

    .. math::
        y = \gamma_C \frac{x - \mu_{NG}}{\sqrt{\sigma_{NG}^2 + \epsilon}} + \beta_C

    One group is layer normalisation over channels and positions; a group for each channel is
    instance normalisation.

    Args:
        input: A batch; dimension 1 holds the channels.
        num_groups: :math:`G`, which must divide the channels: neighbours form a group.
        weight: :math:`\gamma`, one for each channel, or None.
        bias: :math:`\beta`, likewise.
        eps: :math:`\epsilon`, added to the variance.

    Shape:
        - input and output: :math:`(N, C, *)`
        - weight and bias: :math:`(C)`

    Raises:
        RuntimeError: `num_groups` is not positive or does not divide the channels; a parameter of
            another size or of an unfitting dtype.
        ValueError: One sample with one value a group.
        NotImplementedError: `input` is not of a real floating-point dtype.

    Example:
        >>> batch = torch.tensor([[1.0, 3.0, 10.0, 30.0]])
        >>> group_norm(batch, num_groups=2).round(decimals=3)
        tensor([[-1.,  1., -1.,  1.]])

    Wu & He, "Group Normalization" (2018): https://arxiv.org/abs/1803.08494
    """
    check_floating("group_norm", input)
    check_groups(input, num_groups)
    check_per_channel(input, weight=weight, bias=bias)
    output = standardize(input, Planes(input, num_groups), weight, bias, eps)[0]
    return in_layout_of(input, output)


def rms_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    eps: float | None = None,
) -> Tensor:
    r"""Divide by the root of the mean square of the last dimensions, as `torch.nn.functional` does.

    .. math::
        y = \gamma \frac{x}{\sqrt{\frac{1}{n} \sum_i x_i^2 + \epsilon}}

    Args:
        input: Any values.
        normalized_shape: The sizes of the last dimensions, whose cells share one root.
        weight: :math:`\gamma`, one for each of these cells, or None.
        eps: :math:`\epsilon`, added to the mean square; None for the machine epsilon of the dtype,
            that of float32 for half precision.

    Shape:
        - input and output: :math:`(*, \text{normalized\_shape})`
        - weight: `normalized_shape`

    Raises:
        RuntimeError: `input` does not end in `normalized_shape`; a weight of another shape.
        TypeError: `normalized_shape` is a plain number.
        NotImplementedError: `input` is not of a real floating-point dtype.

    Example:
        >>> rms_norm(torch.tensor([[3.0, 3.0], [0.5, -0.5]]), (2,)).round(decimals=3)
        tensor([[ 1.,  1.],
                [ 1., -1.]])

    Zhang & Sennrich, "Root Mean Square Layer Normalization" (2019): https://arxiv.org/abs/1910.07467
    """
    check_floating("rms_norm", input)
    check_normalized_shape("rms_norm", input, normalized_shape, weight=weight)
    if eps is None:
        eps = torch.finfo(widened(input.new_empty(0)).dtype).eps
    layout = Lines(input, normalized_shape, centred=False)
    return in_layout_of(input, standardize(input, layout, weight, None, eps)[0])
