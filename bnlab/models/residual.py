"""A residual network small enough to train in seconds."""

from __future__ import annotations

from torch import nn

from bnlab.models.published import Residual
from bnlab.models.small import Norm, chain, norm_or_none


def residual_net(
    norm: Norm | None,
    *,
    in_channels: int = 1,
    width: int = 8,
    blocks: int = 3,
    classes: int = 10,
) -> nn.Sequential:
    r"""Build a stem and residual blocks of two 3×3 convolutions, all of them of one width.

    .. math::
        y = \operatorname{ReLU}(x + \operatorname{norm}(W_2 *
        \operatorname{ReLU}(\operatorname{norm}(W_1 * x))))

    Args:
        norm: Norm factory for `width` channels, or None.
        in_channels: Channels of a picture.
        width: Channels of every feature map.
        blocks: Number of residual blocks.
        classes: Number of outputs.

    Shape:
        - input: :math:`(N, in\_channels, H, W)`, height and width at least 2
        - output: :math:`(N, classes)`

    Raises:
        ValueError: `blocks` is below 1.

    Example:
        >>> import torch
        >>> model = residual_net(nn.BatchNorm2d)
        >>> model(torch.zeros(2, 1, 8, 8)).shape
        torch.Size([2, 10])
        >>> sum(isinstance(module, nn.BatchNorm2d) for module in model.modules())
        7

    The block is that of He et al., "Deep Residual Learning for Image Recognition" (2015):
    https://arxiv.org/abs/1512.03385
    """
    if blocks < 1:
        raise ValueError(f"blocks is a number of residual blocks, at least 1, but is {blocks}")
    return chain(
        conv=nn.Conv2d(in_channels, width, kernel_size=3, padding=1),
        norm=norm_or_none(norm, width),
        relu=nn.ReLU(),
        pool=nn.MaxPool2d(2),
        **{f"block{number}": _block(norm, width) for number in range(1, blocks + 1)},
        average=nn.AdaptiveAvgPool2d(1),
        flatten=nn.Flatten(),
        output=nn.Linear(width, classes),
    )


def _block(norm: Norm | None, width: int) -> Residual:
    branch = chain(
        conv1=nn.Conv2d(width, width, kernel_size=3, padding=1),
        norm1=norm_or_none(norm, width),
        relu=nn.ReLU(),
        conv2=nn.Conv2d(width, width, kernel_size=3, padding=1),
        norm2=norm_or_none(norm, width),
    )
    return Residual(branch, nn.Identity(), nn.ReLU())
