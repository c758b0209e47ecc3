"""The small networks of the classic tutorials."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import nn

Norm = Callable[[int], nn.Module]


def chain(**modules: nn.Module | None) -> nn.Sequential:
    """Chain the modules that are not None under the names they are given."""
    return nn.Sequential(
        OrderedDict((name, module) for name, module in modules.items() if module is not None)
    )


def norm_or_none(norm: Norm | None, features: int) -> nn.Module | None:
    """Make the norm, if there is to be one."""
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
    return chain(
        conv=nn.Conv2d(in_channels, 16, kernel_size=3, padding=1),
        norm=norm_or_none(norm, 16),
        relu=nn.ReLU(),
        flatten=nn.Flatten(),
        linear=nn.Linear(16 * size * size, classes),
    )


def mlp(
    inputs: int,
    norm: Norm | None = None,
    *,
    classes: int = 10,
    activation: str = "relu",
    norm_last: bool = False,
) -> nn.Sequential:
    """Build the multilayer perceptron of the tutorials: inputs-128-64-classes with ReLU.

    Args:
        inputs: Number of inputs, 784 for MNIST and 64 for scikit-learn's digits.
        norm: Norm factory, used with both activations, or None.
        classes: Number of outputs.
        activation: 'sigmoid', 'tanh' or 'relu'.
        norm_last: Whether the norm comes after the activation instead of before it.

    Shape:
        - input: :math:`(N, inputs)`
        - output: :math:`(N, classes)`

    Raises:
        ValueError: There is no such activation.

    Example:
        >>> [name for name, _ in mlp(64, nn.BatchNorm1d).named_children()]
        ['linear1', 'norm1', 'relu1', 'linear2', 'norm2', 'relu2', 'output']
        >>> [name for name, _ in mlp(64, nn.BatchNorm1d, norm_last=True).named_children()]
        ['linear1', 'relu1', 'norm1', 'linear2', 'relu2', 'norm2', 'output']
    """
    kind = _activation(activation)
    layers: dict[str, nn.Module | None] = {}
    for number, (fan_in, fan_out) in enumerate(((inputs, 128), (128, 64)), start=1):
        layers[f"linear{number}"] = nn.Linear(fan_in, fan_out)
        follow = {f"norm{number}": norm_or_none(norm, fan_out), f"{activation}{number}": kind()}
        layers |= dict(reversed(follow.items())) if norm_last else follow
    return chain(**layers, output=nn.Linear(64, classes))


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
    return chain(
        linear1=nn.Linear(10, 20),
        norm1=norm_or_none(norm, 20),
        linear2=nn.Linear(20, 5),
        norm2=norm_or_none(norm, 5),
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
    kind = _activation(activation)
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
        layers[f"norm{number}"] = norm_or_none(norm, width)
        layers[f"activation{number}"] = kind()
    return chain(**layers, output=linear(width, classes))


def _activation(name: str) -> type[nn.Module]:
    activations = {"sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "relu": nn.ReLU}
    if name not in activations:
        raise ValueError(f"activation is one of {', '.join(activations)}, but is {name!r}")
    return activations[name]
