"""The norms that may keep running statistics: batch and instance normalisation."""

from __future__ import annotations

from torch import Tensor

from bnlab.functional.arithmetic import is_channels_last, update_running
from bnlab.functional.checks import (
    check_channels,
    check_floating,
    check_per_channel,
    check_running,
)
from bnlab.functional.columns import Columns
from bnlab.functional.layouts import Layout
from bnlab.functional.planes import Planes
from bnlab.functional.standardize import apply_statistics, standardize


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
        >>> import torch
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
    check_floating("batch_norm", input)
    check_channels("batch_norm", input, ValueError)
    if training and input.numel() == input.shape[1]:
        raise ValueError(
            "Expected more than 1 value per channel when training, "
            f"got input size {input.shape}: use a larger batch, or eval mode"
        )
    if eps < 0 or (training and eps == 0):
        raise ValueError(f"batch_norm eps must be positive, but got {eps}: try the default, 1e-5")
    check_running(running_mean, running_var, training, "training=True")
    check_per_channel(
        input, running_mean=running_mean, running_var=running_var, weight=weight, bias=bias
    )
    if not training:
        return _with_running(input, running_mean, running_var, weight, bias, eps)

    output, mean, var = standardize(input, _layout(input), weight, bias, eps)
    # An empty batch has no statistics to move towards.
    if running_mean is not None and running_var is not None and input.numel() > 0:
        assert mean is not None
        n = input.numel() / input.shape[1]
        update_running(running_mean, mean.flatten(), momentum)
        update_running(running_var, _unbiased(var.flatten(), n), momentum)
    return output


def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    r"""Normalise each channel of each sample over its positions, as `torch.nn.functional` does.

    .. math::
        y = \gamma_C \frac{x - \mu_{NC}}{\sqrt{\sigma_{NC}^2 + \epsilon}} + \beta_C

    With `use_input_stats` the statistics are each sample's own, and running statistics, where they
    are given, move towards the samples' average. Without it the running statistics are used.

    Args:
        input: A batch; dimension 1 holds the channels.
        running_mean: Running mean, changed in place with `use_input_stats`; None to keep none.
        running_var: Running variance, given or left out together with `running_mean`.
        weight: :math:`\gamma`, or None.
        bias: :math:`\beta`, or None.
        use_input_stats: Whether the input's statistics are used, and the running ones moved.
        momentum: The weight of the new value in the running statistics.
        eps: :math:`\epsilon`, added to the variance.

    Shape:
        - input and output: :math:`(N, C, *)`
        - running_mean, running_var, weight, bias: :math:`(C)`

    Raises:
        ValueError: A single position with `use_input_stats`; only one running statistic given.
        RuntimeError: No running statistics without `use_input_stats`; a tensor of another size
            than the channels' or of an unfitting dtype.
        NotImplementedError: `input` is not of a real floating-point dtype.

    Example:
        >>> import torch
        >>> sequences = torch.tensor([[[1.0, 3.0]], [[10.0, 30.0]]])
        >>> instance_norm(sequences).round(decimals=3)
        tensor([[[-1.,  1.]],
        <BLANKLINE>
                [[-1.,  1.]]])

    Ulyanov et al., "Instance Normalization" (2016): https://arxiv.org/abs/1607.08022
    """
    check_floating("instance_norm", input)
    check_running(running_mean, running_var, use_input_stats, "use_input_stats=True")
    positions = input.shape[2:].numel()
    if use_input_stats and positions == 1:
        raise ValueError(
            "Expected more than 1 spatial element when training, "
            f"got input size {input.shape}: normalise over more positions, or use layer_norm"
        )
    check_channels("instance_norm", input)
    check_per_channel(
        input, running_mean=running_mean, running_var=running_var, weight=weight, bias=bias
    )
    if not use_input_stats:
        return _with_running(input.contiguous(), running_mean, running_var, weight, bias, eps)

    layout = Planes(input, groups=input.shape[1])
    output, mean, var = standardize(input, layout, weight, bias, eps)
    if running_mean is not None and running_var is not None and input.numel() > 0:
        assert mean is not None
        mean, var = (statistic.view(input.shape[:2]).mean(0) for statistic in (mean, var))
        update_running(running_mean, mean, momentum)
        update_running(running_var, _unbiased(var, positions), momentum)
    return output


def _with_running(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
) -> Tensor:
    assert running_mean is not None
    assert running_var is not None
    return apply_statistics(input, _layout(input), running_mean, running_var, weight, bias, eps)


def _unbiased(var: Tensor, n: float) -> Tensor:
    """Return `var * n / (n - 1)` as a sum, which torch does in half the time."""
    return var.add(var, alpha=1 / (n - 1))


def _layout(input: Tensor) -> Layout:
    """Channels in columns where they are the last dimension in memory, else in planes."""
    return Columns(input) if input.dim() == 2 or is_channels_last(input) else Planes(input)
