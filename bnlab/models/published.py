"""Published architectures without their weights, to count and to look into."""

from __future__ import annotations

from torch import Tensor, nn

from bnlab.models.small import Norm, chain, norm_or_none


def _conv(
    inputs: int,
    outputs: int,
    kernel_size: int,
    norm: Norm | None,
    *,
    stride: int = 1,
    padding: int | None = None,
    groups: int = 1,
    activation: type[nn.Module] | None = nn.ReLU,
) -> nn.Sequential:
    """Chain a convolution, its norm and its activation; `stride` alone changes the size."""
    padding = kernel_size // 2 if padding is None else padding
    return chain(
        conv=nn.Conv2d(
            inputs, outputs, kernel_size, stride, padding, groups=groups, bias=norm is None
        ),
        norm=norm_or_none(norm, outputs),
        activation=None if activation is None else activation(),
    )


def lenet(norm: Norm | None, *, in_channels: int = 1, classes: int = 10) -> nn.Sequential:
    r"""Build a network like LeNet-5, with ReLU and a norm after both convolutions.

    Args:
        norm: Norm factory, or None.
        in_channels: Channels of a picture.
        classes: Number of outputs.

    Shape:
        - input: :math:`(N, in\_channels, 28, 28)`
        - output: :math:`(N, classes)`

    Example:
        >>> import torch
        >>> lenet(nn.BatchNorm2d)(torch.zeros(2, 1, 28, 28)).shape
        torch.Size([2, 10])

    LeCun et al., "Gradient-Based Learning Applied to Document Recognition" (1998).
    """
    return chain(
        conv1=_conv(in_channels, 6, 5, norm),
        pool1=nn.MaxPool2d(2),
        conv2=_conv(6, 16, 5, norm, padding=0),
        pool2=nn.MaxPool2d(2),
        flatten=nn.Flatten(),
        linear1=nn.Linear(400, 120),
        relu1=nn.ReLU(),
        linear2=nn.Linear(120, 84),
        relu2=nn.ReLU(),
        output=nn.Linear(84, classes),
    )


class Residual(nn.Module):
    """A branch added to a shortcut: `activation(branch(input) + shortcut(input))`."""

    def __init__(self, branch: nn.Module, shortcut: nn.Module, activation: nn.Module) -> None:
        super().__init__()
        self.branch, self.shortcut, self.activation = branch, shortcut, activation

    def forward(self, input: Tensor) -> Tensor:
        output: Tensor = self.activation(self.branch(input) + self.shortcut(input))
        return output


def resnet18(norm: Norm | None, *, in_channels: int = 3, classes: int = 1000) -> nn.Sequential:
    r"""Build ResNet-18: 20 norms, in blocks of two 3×3 convolutions.

    Args:
        norm: Norm factory, or None.
        in_channels: Channels of a picture.
        classes: Number of outputs.

    Shape:
        - input: :math:`(N, in\_channels, H, W)`, 224×224 as published
        - output: :math:`(N, classes)`

    Example:
        >>> import torch
        >>> with torch.device("meta"):
        ...     model = resnet18(nn.BatchNorm2d)
        >>> sum(weight.numel() for weight in model.parameters())
        11689512

    He et al., "Deep Residual Learning for Image Recognition" (2015):
    https://arxiv.org/abs/1512.03385
    """
    return _resnet(norm, (2, 2, 2, 2), 1, in_channels, classes)


def resnet50(norm: Norm | None, *, in_channels: int = 3, classes: int = 1000) -> nn.Sequential:
    r"""Build ResNet-50: 53 norms, in blocks of a 1×1, a 3×3 and a 1×1 convolution.

    Args:
        norm: Norm factory, or None.
        in_channels: Channels of a picture.
        classes: Number of outputs.

    Shape:
        - input: :math:`(N, in\_channels, H, W)`, 224×224 as published
        - output: :math:`(N, classes)`

    Example:
        >>> import torch
        >>> with torch.device("meta"):
        ...     model = resnet50(nn.BatchNorm2d)
        >>> sum(isinstance(module, nn.BatchNorm2d) for module in model.modules())
        53

    He et al., "Deep Residual Learning for Image Recognition" (2015), with the stride in the 3×3
    convolution as in torchvision: https://arxiv.org/abs/1512.03385
    """
    return _resnet(norm, (3, 4, 6, 3), 4, in_channels, classes)


def _resnet(
    norm: Norm | None, blocks: tuple[int, ...], expansion: int, in_channels: int, classes: int
) -> nn.Sequential:
    channels = 64
    stages: dict[str, nn.Module] = {}
    for stage, count in enumerate(blocks):
        width = 64 * 2**stage
        layers = []
        for block in range(count):
            stride = 2 if stage > 0 and block == 0 else 1
            layers.append(_resnet_block(norm, channels, width, stride, expansion))
            channels = width * expansion
        stages[f"stage{stage + 1}"] = nn.Sequential(*layers)
    return chain(
        stem=_conv(in_channels, 64, 7, norm, stride=2),
        pool=nn.MaxPool2d(3, stride=2, padding=1),
        **stages,
        average=nn.AdaptiveAvgPool2d(1),
        flatten=nn.Flatten(),
        output=nn.Linear(channels, classes),
    )


def _resnet_block(
    norm: Norm | None, inputs: int, width: int, stride: int, expansion: int
) -> Residual:
    outputs = width * expansion
    if expansion == 1:
        branch = nn.Sequential(
            _conv(inputs, width, 3, norm, stride=stride),
            _conv(width, width, 3, norm, activation=None),
        )
    else:
        branch = nn.Sequential(
            _conv(inputs, width, 1, norm),
            _conv(width, width, 3, norm, stride=stride),
            _conv(width, outputs, 1, norm, activation=None),
        )
    shortcut = (
        nn.Identity()
        if stride == 1 and inputs == outputs
        else _conv(inputs, outputs, 1, norm, stride=stride, activation=None)
    )
    return Residual(branch, shortcut, nn.ReLU())


def mobilenet_v2(norm: Norm | None, *, in_channels: int = 3, classes: int = 1000) -> nn.Sequential:
    r"""Build MobileNetV2: 52 norms, in blocks that widen, convolve each channel and narrow again.

    Args:
        norm: Norm factory, or None.
        in_channels: Channels of a picture.
        classes: Number of outputs.

    Shape:
        - input: :math:`(N, in\_channels, H, W)`, 224×224 as published
        - output: :math:`(N, classes)`

    Example:
        >>> import torch
        >>> with torch.device("meta"):
        ...     model = mobilenet_v2(nn.BatchNorm2d)
        >>> sum(weight.numel() for weight in model.parameters())
        3504872

    Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks" (2018), table 2:
    https://arxiv.org/abs/1801.04381
    """
    # Expansion, channels, number of blocks and stride of the first one.
    table = (
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    )
    channels = 32
    blocks: list[nn.Module] = []
    for expansion, outputs, count, first_stride in table:
        for block in range(count):
            stride = first_stride if block == 0 else 1
            blocks.append(_inverted_residual(norm, channels, outputs, stride, expansion))
            channels = outputs
    return chain(
        stem=_conv(in_channels, 32, 3, norm, stride=2, activation=nn.ReLU6),
        blocks=nn.Sequential(*blocks),
        head=_conv(channels, 1280, 1, norm, activation=nn.ReLU6),
        average=nn.AdaptiveAvgPool2d(1),
        flatten=nn.Flatten(),
        dropout=nn.Dropout(0.2),
        output=nn.Linear(1280, classes),
    )


def _inverted_residual(
    norm: Norm | None, inputs: int, outputs: int, stride: int, expansion: int
) -> nn.Module:
    width = inputs * expansion
    branch = chain(
        expand=None if expansion == 1 else _conv(inputs, width, 1, norm, activation=nn.ReLU6),
        depthwise=_conv(width, width, 3, norm, stride=stride, groups=width, activation=nn.ReLU6),
        project=_conv(width, outputs, 1, norm, activation=None),
    )
    if stride == 1 and inputs == outputs:
        return Residual(branch, nn.Identity(), nn.Identity())
    return branch
