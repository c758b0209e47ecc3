"""The networks of the notebooks; each takes the normalisation to build in.

`norm` is a *norm factory*: anything that takes a number of features and returns a module, such as
`torch.nn.BatchNorm2d`, or None for a network without normalisation. Weights are torch's default
initialisation unless said otherwise; nothing is downloaded. The small networks keep the biases they
have in the tutorials, also where a norm follows and makes them idle. The large ones have a
convolution's bias only where no norm follows, as published.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import Tensor, nn

Norm = Callable[[int], nn.Module]


def _named(**modules: nn.Module | None) -> nn.Sequential:
    """Chain the modules that are not None under the names they are given."""
    return nn.Sequential(
        OrderedDict((name, module) for name, module in modules.items() if module is not None)
    )


def _norm(norm: Norm | None, features: int) -> nn.Module | None:
    return None if norm is None else norm(features)


def conv_net(
    norm: Norm | None, *, in_channels: int = 3, size: int = 32, classes: int = 10
) -> nn.Sequential:
    r"""Build convolution, norm, ReLU and a linear layer: the smallest network with a 2d norm.

    Args:
        norm: Norm factory for 16 channels, or None.
        in_channels: Channels of a picture.
        size: Its height and width.
        classes: Number of outputs.

    Shape:
        - input: :math:`(N, in\_channels, size, size)`
        - output: :math:`(N, classes)`

    Example:
        >>> conv_net(nn.BatchNorm2d)(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """
    return _named(
        conv=nn.Conv2d(in_channels, 16, kernel_size=3, padding=1),
        norm=_norm(norm, 16),
        relu=nn.ReLU(),
        flatten=nn.Flatten(),
        linear=nn.Linear(16 * size * size, classes),
    )


def mlp(inputs: int, norm: Norm | None = None, *, classes: int = 10) -> nn.Sequential:
    """Build the multilayer perceptron of the tutorials: inputs-128-64-classes with ReLU.

    Args:
        inputs: Number of inputs, 784 for MNIST and 64 for scikit-learn's digits.
        norm: Norm factory, used before both ReLUs, or None.
        classes: Number of outputs.

    Shape:
        - input: :math:`(N, inputs)`
        - output: :math:`(N, classes)`

    Example:
        >>> [name for name, _ in mlp(64, nn.BatchNorm1d).named_children()]
        ['linear1', 'norm1', 'relu1', 'linear2', 'norm2', 'relu2', 'output']
    """
    return _named(
        linear1=nn.Linear(inputs, 128),
        norm1=_norm(norm, 128),
        relu1=nn.ReLU(),
        linear2=nn.Linear(128, 64),
        norm2=_norm(norm, 64),
        relu2=nn.ReLU(),
        output=nn.Linear(64, classes),
    )


def two_layer(norm: Norm | None) -> nn.Sequential:
    """Build linear, norm, linear, norm on 10, 20 and 5 features: the smallest with two norms.

    Args:
        norm: Norm factory, or None.

    Shape:
        - input: :math:`(N, 10)`
        - output: :math:`(N, 5)`

    Example:
        >>> two_layer(nn.BatchNorm1d)(torch.randn(4, 10)).shape
        torch.Size([4, 5])
    """
    return _named(
        linear1=nn.Linear(10, 20),
        norm1=_norm(norm, 20),
        linear2=nn.Linear(20, 5),
        norm2=_norm(norm, 5),
    )


def deep_mlp(
    inputs: int = 64,
    width: int = 100,
    depth: int = 3,
    classes: int = 10,
    gain: float = 1.0,
    activation: str = "sigmoid",
    norm: Norm | None = None,
    seed: int = 0,
) -> nn.Sequential:
    r"""Build `depth` hidden layers of `width` units, and a linear output.

    .. math::
        W_{ij} \sim \mathcal{N}(0, gain^2 / fan\_in), \qquad b = 0

    Args:
        inputs: Number of inputs.
        width: Units in each hidden layer.
        depth: Number of hidden layers.
        classes: Number of outputs.
        gain: How wide the weights are drawn; for ReLU, :math:`\sqrt 2` keeps the signal's size.
        activation: 'sigmoid', 'tanh' or 'relu'.
        norm: Norm factory, used before each activation, or None.
        seed: Of a generator of its own; the global one stays as it is.

    Shape:
        - input: :math:`(N, inputs)`
        - output: :math:`(N, classes)`

    Raises:
        ValueError: There is no such activation, or `depth` is below 1.

    Example:
        >>> model = deep_mlp(depth=2, norm=nn.BatchNorm1d)
        >>> [name for name, _ in model.named_children()]
        ['linear1', 'norm1', 'activation1', 'linear2', 'norm2', 'activation2', 'output']

    With the defaults and batches of 60, the network of Ioffe & Szegedy (2015), section 4.1.
    """
    activations = {"sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "relu": nn.ReLU}
    if activation not in activations:
        raise ValueError(f"activation is one of {', '.join(activations)}, but is {activation!r}")
    if depth < 1:
        raise ValueError(f"depth is a number of hidden layers, at least 1, but is {depth}")
    generator = torch.Generator().manual_seed(seed)

    def linear(fan_in: int, fan_out: int) -> nn.Linear:
        # Drawing torch's own weights first would move the global generator.
        layer: nn.Linear = nn.utils.skip_init(nn.Linear, fan_in, fan_out)
        nn.init.normal_(layer.weight, std=gain / fan_in**0.5, generator=generator)
        nn.init.zeros_(layer.bias)
        return layer

    layers: dict[str, nn.Module | None] = {}
    for number in range(1, depth + 1):
        layers[f"linear{number}"] = linear(inputs if number == 1 else width, width)
        layers[f"norm{number}"] = _norm(norm, width)
        layers[f"activation{number}"] = activations[activation]()
    return _named(**layers, output=linear(width, classes))


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
        >>> lenet(nn.BatchNorm2d)(torch.zeros(2, 1, 28, 28)).shape
        torch.Size([2, 10])

    LeCun et al., "Gradient-Based Learning Applied to Document Recognition" (1998).
    """
    return _named(
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
    return _named(
        conv=nn.Conv2d(
            inputs, outputs, kernel_size, stride, padding, groups=groups, bias=norm is None
        ),
        norm=_norm(norm, outputs),
        activation=None if activation is None else activation(),
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
    return _named(
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
    return _named(
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
    branch = _named(
        expand=None if expansion == 1 else _conv(inputs, width, 1, norm, activation=nn.ReLU6),
        depthwise=_conv(width, width, 3, norm, stride=stride, groups=width, activation=nn.ReLU6),
        project=_conv(width, outputs, 1, norm, activation=None),
    )
    if stride == 1 and inputs == outputs:
        return Residual(branch, nn.Identity(), nn.Identity())
    return branch
