"""The arithmetic of batch normalisation: two pure functions, and the choice of what shares a mean.

`moments` reduces over some dimensions and `normalize` uses the result; a normalisation layer is a
choice of those dimensions. `batch_norm` chooses every dimension but the channels'.
"""

from __future__ import annotations

import torch
from torch import Tensor

_CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}


def moments(input: Tensor, dim: int | list[int] | tuple[int, ...]) -> tuple[Tensor, Tensor]:
    r"""Return the mean and the biased variance of `input` over `dim`, which keeps its place.

    .. math::
        \mu = \frac{1}{n} \sum_i x_i \qquad \sigma^2 = \frac{1}{n} \sum_i (x_i - \mu)^2

    Args:
        input: Floating-point values. Half precision is reduced in float32.
        dim: The dimension or dimensions whose cells share one mean.

    Shape:
        - input: any, for example :math:`(N, C, H, W)`
        - mean and variance: as `input`, with size 1 along `dim`; float32 for half precision

    Raises:
        IndexError: `input` has no such dimension.

    Example:
        >>> images = torch.tensor([[1.0, 2.0, 3.0], [5.0, 6.0, 7.0]])
        >>> mean, var = moments(images, dim=0)
        >>> mean
        tensor([[3., 4., 5.]])
        >>> var
        tensor([[4., 4., 4.]])

    Two passes hold where the shortcut :math:`E[x^2] - E[x]^2` cancels: Chan, Golub & LeVeque,
    "Algorithms for Computing the Sample Variance" (1983).
    """
    values = _widened(input)
    mean = values.mean(dim, keepdim=True)
    var = (values - mean).square().mean(dim, keepdim=True)
    return mean, var


def normalize(
    input: Tensor,
    mean: Tensor,
    var: Tensor,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    r"""Subtract the mean, divide by the standard deviation, then scale and shift.

    .. math::
        \hat{x} = \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} \qquad y = \gamma \hat{x} + \beta

    Args:
        input: The values to normalise.
        mean: :math:`\mu`, what to subtract.
        var: :math:`\sigma^2`, whose root is divided by.
        weight: :math:`\gamma`, or None to leave the scale at 1.
        bias: :math:`\beta`, or None to leave the shift at 0.
        eps: :math:`\epsilon`, added inside the root so that a constant input divides by no zero.

    Shape:
        - input and output: any, of the same dtype
        - mean, var, weight, bias: any that broadcast to `input`, for example :math:`(1, C, 1, 1)`

    Raises:
        RuntimeError: A tensor does not broadcast to `input`.

    Example:
        >>> column = torch.tensor([[1.0], [3.0]])
        >>> normalize(column, *moments(column, dim=0), eps=0.0)
        tensor([[-1.],
                [ 1.]])

    Ioffe & Szegedy, "Batch Normalization" (2015), algorithm 1: https://arxiv.org/abs/1502.03167
    """
    output = (_widened(input) - mean) * torch.rsqrt(var + eps)
    if weight is not None:
        output = output * weight
    if bias is not None:
        output = output + bias
    return output.to(input.dtype)


def update_running(running: Tensor, batch: Tensor, momentum: float) -> None:
    r"""Move a running statistic towards the batch's, in place and outside the graph.

    .. math::
        r \leftarrow (1 - m)\, r + m\, b

    Args:
        running: :math:`r`, the running statistic; changed in place.
        batch: :math:`b`, the same statistic of one batch.
        momentum: :math:`m`, the weight of the *new* value, as in torch. Keras's `momentum` is the
            weight of the old one, :math:`1 - m`.

    Shape:
        - running and batch: the same, :math:`(C)` in batch normalisation

    Raises:
        RuntimeError: `batch` does not broadcast to `running`.

    Example:
        >>> running_mean = torch.zeros(2)
        >>> update_running(running_mean, torch.tensor([1.0, 10.0]), momentum=0.1)
        >>> running_mean
        tensor([0.1000, 1.0000])

    The `momentum` of https://pytorch.org/docs/stable/generated/torch.nn.BatchNorm2d.html
    """
    with torch.no_grad():
        # In the wider dtype of `batch`: half precision is rounded once, when it is stored.
        running.copy_((1 - momentum) * running.to(batch.dtype) + momentum * batch)


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    r"""Normalise each channel over the batch and all positions, as `torch.nn.functional` does.

    .. math::
        y = \gamma \frac{x - \mu_C}{\sqrt{\sigma_C^2 + \epsilon}} + \beta

    With `training`, :math:`\mu_C` and :math:`\sigma_C^2` (biased) are the batch's, and the running
    statistics move towards :math:`\mu_C` and the *unbiased* :math:`\frac{n}{n-1} \sigma_C^2`.
    Without it they are the running statistics, which stay as they are.

    Args:
        input: A batch; dimension 1 holds the channels.
        running_mean: Running mean, changed in place with `training`; None to keep none.
        running_var: Running variance, given or left out together with `running_mean`.
        weight: :math:`\gamma`, or None.
        bias: :math:`\beta`, or None.
        training: Whether the batch's statistics are used, and the running ones moved.
        momentum: The weight of the new value in the running statistics.
        eps: :math:`\epsilon`, added to the variance.

    Shape:
        - input and output: :math:`(N, C)` or :math:`(N, C, *)`
        - running_mean, running_var, weight, bias: :math:`(C)`, in the dtype of `input`, or in
          float32 where `input` is of half precision

    Raises:
        ValueError: `training` with one value per channel or `eps` at or below 0; only one of the
            two running statistics given; `input` without a channel dimension.
        RuntimeError: No running statistics without `training`; a tensor of another size than the
            channels' or of an unfitting dtype.
        NotImplementedError: `input` is not of a real floating-point dtype.

    Example:
        >>> batch = torch.tensor([[1.0, 10.0], [3.0, 30.0]])
        >>> running_mean, running_var = torch.zeros(2), torch.ones(2)
        >>> batch_norm(batch, running_mean, running_var, training=True).round(decimals=3)
        tensor([[-1., -1.],
                [ 1.,  1.]])
        >>> running_mean
        tensor([0.2000, 2.0000])
        >>> running_var
        tensor([ 1.1000, 20.9000])

    Ioffe & Szegedy, "Batch Normalization" (2015): https://arxiv.org/abs/1502.03167
    """
    _check_input(input, training, eps)
    _check_running(running_mean, running_var, training)
    for name, tensor in (
        ("running_mean", running_mean),
        ("running_var", running_var),
        ("weight", weight),
        ("bias", bias),
    ):
        if tensor is not None:
            _check_per_channel(name, tensor, input)

    per_channel = (1, -1, *[1] * (input.dim() - 2))
    if running_mean is None or running_var is None or training:
        mean, var = moments(input, [d for d in range(input.dim()) if d != 1])
    else:
        mean, var = running_mean.view(per_channel), running_var.view(per_channel)

    # An empty batch has no statistics to move towards.
    if running_mean is not None and running_var is not None and training and input.numel() > 0:
        n = input.numel() / input.shape[1]
        update_running(running_mean, mean.flatten(), momentum)
        update_running(running_var, var.flatten() * (n / (n - 1)), momentum)

    gamma = None if weight is None else weight.view(per_channel)
    beta = None if bias is None else bias.view(per_channel)
    return _in_torch_layout(normalize(input, mean, var, gamma, beta, eps))


def _widened(input: Tensor) -> Tensor:
    """Half precision as float32; any wider dtype as it is."""
    return input.to(torch.promote_types(input.dtype, torch.float32))


def _in_torch_layout(output: Tensor) -> Tensor:
    """Channels-last if it is so already, else contiguous, as torch's: callers may `view` it."""
    channels_last = _CHANNELS_LAST.get(output.dim())
    if channels_last is not None and output.is_contiguous(memory_format=channels_last):
        return output
    return output.contiguous()


def _check_input(input: Tensor, training: bool, eps: float) -> None:
    if not input.is_floating_point():
        raise NotImplementedError(
            f"batch_norm needs floating-point input, got {input.dtype}: pass input.float()"
        )
    if input.dim() < 2:
        raise ValueError(
            f"expected input of shape (N, C) or (N, C, *), got {tuple(input.shape)}: "
            "add a batch dimension with input.unsqueeze(0)"
        )
    if training and input.numel() == input.shape[1]:
        raise ValueError(
            "Expected more than 1 value per channel when training, "
            f"got input size {input.shape}: use a larger batch, or eval mode"
        )
    if eps < 0 or (training and eps == 0):
        raise ValueError(f"batch_norm eps must be positive, but got {eps}: try the default, 1e-5")


def _check_running(running_mean: Tensor | None, running_var: Tensor | None, training: bool) -> None:
    if training and (running_mean is None) != (running_var is None):
        raise ValueError(
            "running_mean and running_var must either both be None or neither be None: "
            "pass the other one too"
        )
    if not training and (running_mean is None or running_var is None):
        missing = "running_mean" if running_mean is None else "running_var"
        raise RuntimeError(
            f"{missing} must be defined in evaluation mode: "
            "pass it, or training=True to use the batch's own statistics"
        )


def _check_per_channel(name: str, tensor: Tensor, input: Tensor) -> None:
    channels = input.shape[1]
    if tensor.shape != (channels,):
        raise RuntimeError(
            f"{name} should contain {channels} elements, not {tuple(tensor.shape)}: "
            f"dimension 1 of the input {tuple(input.shape)} holds the channels"
        )
    fitting = {input.dtype, torch.promote_types(input.dtype, torch.float32)}
    if tensor.dtype not in fitting:
        raise RuntimeError(
            f"{name} is {tensor.dtype} and input is {input.dtype}: "
            f"bring both to one dtype, with input.to({tensor.dtype}) or module.to({input.dtype})"
        )
