"""The definitions: two pure functions that every norm is made of, and the gradient of both.

`moments` reduces over some dimensions and `normalize` uses the result; a normalisation layer is a
choice of those dimensions.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor


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
    values = widened(input)
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
    output = (widened(input) - mean) * torch.rsqrt(widened(var) + eps)
    if weight is not None:
        output = output * weight
    if bias is not None:
        output = output + bias
    return output.to(input.dtype)


def normalize_backward(
    grad_output: Tensor, normalized: Tensor, rstd: Tensor, dim: int | list[int] | tuple[int, ...]
) -> Tensor:
    r"""Return the gradient with respect to the input of `normalize(input, *moments(input, dim))`.

    The input moves the output in three ways: by itself, through :math:`\mu` and through
    :math:`\sigma`. The last two take from the gradient its mean and its part along :math:`\hat{x}`.

    .. math::
        \frac{\partial L}{\partial x_i} = \frac{1}{\sqrt{\sigma^2 + \epsilon}} \Big(
            g_i - \frac{1}{n} \sum_j g_j - \hat{x}_i \frac{1}{n} \sum_j g_j \hat{x}_j \Big)

    Args:
        grad_output: :math:`g`, the gradient with respect to :math:`\hat{x}`; with a weight, that of
            the output times :math:`\gamma`.
        normalized: :math:`\hat{x}`, the normalised input before :math:`\gamma` and :math:`\beta`.
        rstd: :math:`1 / \sqrt{\sigma^2 + \epsilon}`, with size 1 along `dim`.
        dim: The dimension or dimensions whose cells share one mean.

    Shape:
        - grad_output, normalized and the result: the same, any
        - rstd: any that broadcasts to them

    Raises:
        IndexError: `grad_output` has no such dimension.
        RuntimeError: The tensors do not broadcast to each other.

    Example:
        >>> column = torch.tensor([[1.0], [3.0], [8.0]])
        >>> mean, var = moments(column, dim=0)
        >>> rstd = torch.rsqrt(var)
        >>> upstream = torch.tensor([[1.0], [0.0], [0.0]])
        >>> gradient = normalize_backward(upstream, (column - mean) * rstd, rstd, dim=0)
        >>> gradient.sum().abs() < 1e-6, (gradient * column).sum().abs() < 1e-6
        (tensor(True), tensor(True))

    Ioffe & Szegedy, "Batch Normalization" (2015), section 3, in one line:
    https://arxiv.org/abs/1502.03167
    """
    along_one = grad_output.mean(dim, keepdim=True)
    along_normalized = (grad_output * normalized).mean(dim, keepdim=True)
    return rstd * (grad_output - along_one - normalized * along_normalized)


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
    if running.requires_grad or batch.requires_grad:
        running, batch = running.detach(), batch.detach()
    # In the wider dtype of `batch`: half precision is rounded once, when it is stored.
    if running.dtype == batch.dtype:
        running.lerp_(batch, momentum)
    else:
        running.copy_(running.to(batch.dtype).lerp_(batch, momentum))


def widened(input: Tensor) -> Tensor:
    """Half precision as float32; any wider dtype as it is."""
    dtype = input.dtype
    if dtype == torch.float32 or dtype == torch.float64:
        return input
    return input.to(torch.promote_types(dtype, torch.float32))


@lru_cache(maxsize=256)
def constant(value: float, dtype: torch.dtype) -> Tensor:
    """A number as a tensor without dimensions: torch wraps a bare one anew each time it meets it.

    On small statistics the wrapping takes longer than the sum or product that it is for.
    """
    return torch.tensor(value, dtype=dtype, device="cpu")


CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}


def is_channels_last(input: Tensor) -> bool:
    """Whether the channels of images or volumes are neighbours in memory, and only so."""
    layout = CHANNELS_LAST.get(input.dim())
    # Under a transform such as vmap a tensor does not tell how it lies in memory.
    transformed = torch._C._are_functorch_transforms_active()
    if layout is None or transformed or input.is_contiguous():
        return False
    # Of a view with gaps, like every second sample, what counts is the order of its strides.
    return torch.empty_like(input, device="meta").is_contiguous(memory_format=layout)


def in_layout_of(input: Tensor, output: Tensor) -> Tensor:
    """Lay an output out channels-last where the input is, else contiguously, as torch does."""
    if not is_channels_last(input):
        return output.contiguous()
    return output.contiguous(memory_format=CHANNELS_LAST[input.dim()])
